/**
 * Text to token ids and back.
 *
 * The library knows no special token here: `encode` cuts them out itself where it is asked to, and text that only looks
 * like one stays text. Other added tokens (runs of white space, HTML tags) are the library's work, but for those that the
 * chat template writes: some files do not mark all tokens of a conversation's structure as special.
 */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { flag, list, mapOf, object, text as word, whole } from "../artifact/check_shape";
import type { TokenizerFacts } from "../artifact/manifest";
import { GemletError } from "../errors";
import { joined, longEnough } from "./long_text";

const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
}

interface TokenizerFile {
  added_tokens: AddedToken[];
  model: { vocab: Record<string, number> };
}

/** Of what is looked at here; the library knows the rest. */
const TOKENIZER_FILE = object({
  added_tokens: list(object({ id: whole(0, 2 ** 31), content: word, special: flag })),
  model: object({ vocab: mapOf(whole(0, 2 ** 31)) }),
});

export class Tokenizer {
  /** Special tokens by their text. */
  readonly special: ReadonlyMap<string, number>;
  /** Matches a special token, as its first group. */
  readonly specialPattern: RegExp;
  private readonly library: LibraryTokenizer;
  private readonly silentIds: ReadonlySet<number>;
  private readonly structure: ReadonlySet<number>;
  /** Most characters of a text that one token can be. */
  readonly longest: number;
  /** Texts of special tokens that the library does not know, since they are in no vocabulary. */
  private readonly unlisted: ReadonlyMap<number, string>;

  /**
   * `file`: content of tokenizer.json; `template`: text of the chat template, where there is one.
   * Throws GemletError "bad-artifact" where the file is no tokenizer.
   */
  constructor(
    file: unknown,
    private readonly facts: TokenizerFacts,
    template = "",
  ) {
    const fail = (problem: string): never => {
      throw new GemletError("bad-artifact", `${facts.file}: not a tokenizer: ${problem}`);
    };
    TOKENIZER_FILE(file, "tokenizer", fail);
    const { added_tokens, ...rest } = file as TokenizerFile;
    const { model } = rest;
    // White space that is a token is ordinary text in a template.
    const isSpecial = ({ special, content }: AddedToken): boolean => special || (content.trim() !== "" && template.includes(content));
    try {
      const plain = added_tokens.filter((token) => !isSpecial(token));
      this.library = new LibraryTokenizer({ ...rest, added_tokens: plain }, { clean_up_tokenization_spaces: false });
    } catch (cause) {
      throw new GemletError("bad-artifact", `${facts.file}: not a tokenizer: ${(cause as Error).message}`);
    }
    this.special = new Map(added_tokens.filter(isSpecial).map(({ content, id }) => [content, id]));
    this.structure = new Set(this.special.values());
    let longest = added_tokens.reduce((most, { content }) => Math.max(most, content.length), 1);
    for (const text in model.vocab) longest = Math.max(longest, text.length);
    this.longest = longest;
    this.unlisted = new Map(added_tokens.filter(({ id }) => this.structure.has(id) && this.library.id_to_token(id) === undefined).map(({ id, content }) => [id, content]));
    this.silentIds = new Set(added_tokens.filter(({ special }) => special).map(({ id }) => id));
    // The longest first: of two that begin alike, the longer one is meant.
    const texts = [...this.special.keys()].sort((a, b) => b.length - a.length);
    this.specialPattern = new RegExp(`(${texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|") || "(?!)"})`);
  }

  /**
   * Ids of `text`, in which special tokens are recognised by their text. No BOS is added. Where they are many more than `most`, they are those of its beginning,
   * or with `fromEnd` of its end, and still more than `most`: nobody wants the others.
   */
  encode(text: string, most = Infinity, fromEnd = false): number[] {
    const shown = longEnough(text, most, (piece) => this.encode(piece).length, fromEnd);
    const pieces = this.splitAtSpecial(shown).map((part) => (): number[] => {
      const id = this.special.get(part);
      return id === undefined ? this.encodeAll(part) : [id];
    });
    return joined(pieces, Infinity);
  }

  /** Ids of `text`, none of them special; `most` as in `encode`. */
  encodePlain(text: string, most = Infinity): number[] {
    return this.encodeAll(longEnough(text, most, (piece) => this.encodeAll(piece).length));
  }

  private encodeAll(text: string): number[] {
    try {
      return text === "" ? [] : this.library.encode(text, { add_special_tokens: false }).ids;
    } catch (cause) {
      throw new GemletError("bad-artifact", `${this.facts.file}: the tokenizer fails with a text of ${text.length} characters: ${(cause as Error).message}`);
    }
  }

  /** Special tokens, and the texts between them, in order. */
  splitAtSpecial(text: string): string[] {
    return text.split(this.specialPattern).filter((part) => part !== "");
  }

  /** `ids` with the BOS in front where the model wants one and it is not there yet. */
  withBos(ids: number[]): number[] {
    const { add_bos, bos } = this.facts;
    return add_bos && bos !== null && ids[0] !== bos ? [bos, ...ids] : ids;
  }

  /** Text of the ids; none of tokens that the file marks as special, nor of ids that it does not know. */
  decode(ids: readonly number[]): string {
    const isKnown = (id: number): boolean => this.unlisted.has(id) || this.library.id_to_token(id) !== undefined;
    const plain = ids.filter((id) => !this.silentIds.has(id) && isKnown(id));
    const at = plain.findIndex((id) => this.unlisted.has(id));
    if (at >= 0) return this.decode(plain.slice(0, at)) + this.unlisted.get(plain[at]!) + this.decode(plain.slice(at + 1));
    return plain.length === 0 ? "" : this.library.decode(plain);
  }

  /** The bytes that a token stands for: of a special one, its name's; of one of byte fallback, the byte. */
  tokenBytes(id: number): Uint8Array<ArrayBuffer> {
    const text = this.tokenText(id);
    const byte = BYTE_TOKEN.exec(text);
    return byte ? Uint8Array.of(parseInt(byte[1]!, 16)) : new TextEncoder().encode(this.silentIds.has(id) ? text : text.replaceAll("▁", " "));
  }

  /** The token's own text, in the vocabulary's spelling; none of a special token, with or without text: it is no part of what an answer says. */
  answerText(id: number): string {
    return this.structure.has(id) ? "" : this.tokenText(id);
  }

  /** The token's own text, as templates want that of the BOS. */
  tokenText(id: number | null | undefined): string {
    return id === null || id === undefined ? "" : (this.library.id_to_token(id) ?? this.unlisted.get(id) ?? "");
  }
}
