/**
 * Text to token ids and back.
 *
 * The library knows no special token here: `encode` cuts them out itself where it is asked to, and text that only looks
 * like one stays text. Other added tokens (runs of white space, HTML tags) are the library's work.
 */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import type { TokenizerFacts } from "../artifact/manifest";
import { GemletError } from "../errors";

interface TokenizerFile {
  added_tokens: { id: number; content: string; special: boolean }[];
}

export class Tokenizer {
  /** Special tokens by their text. */
  readonly special: ReadonlyMap<string, number>;
  private readonly library: LibraryTokenizer;
  private readonly specialIds: ReadonlySet<number>;
  private readonly specialPattern: RegExp;

  /** `file`: content of tokenizer.json. Throws GemletError "bad-artifact" where it is not one. */
  constructor(
    file: unknown,
    private readonly facts: TokenizerFacts,
  ) {
    const { added_tokens, ...rest } = file as TokenizerFile;
    try {
      const plain = added_tokens.filter((token) => !token.special);
      this.library = new LibraryTokenizer({ ...rest, added_tokens: plain }, { clean_up_tokenization_spaces: false });
    } catch (cause) {
      throw new GemletError("bad-artifact", `${facts.file}: not a tokenizer: ${(cause as Error).message}`);
    }
    const special = added_tokens.filter((token) => token.special);
    this.special = new Map(special.map((token) => [token.content, token.id]));
    this.specialIds = new Set(this.special.values());
    // The longest first: of two that begin alike, the longer one is meant.
    const texts = [...this.special.keys()].sort((a, b) => b.length - a.length);
    this.specialPattern = new RegExp(`(${texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|") || "(?!)"})`);
  }

  /** Ids of `text`, in which special tokens are recognised by their text. No BOS is added. */
  encode(text: string): number[] {
    return this.splitAtSpecial(text).flatMap((part) => {
      const id = this.special.get(part);
      return id === undefined ? this.encodePlain(part) : [id];
    });
  }

  /** Ids of `text`, none of them special. */
  encodePlain(text: string): number[] {
    return text === "" ? [] : this.library.encode(text, { add_special_tokens: false }).ids;
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

  /** Text of the ids; special tokens give none. */
  decode(ids: readonly number[]): string {
    const plain = ids.filter((id) => !this.specialIds.has(id));
    return plain.length === 0 ? "" : this.library.decode(plain);
  }

  /** The token's own text, as templates want that of the BOS. */
  tokenText(id: number | null | undefined): string {
    return (id !== null && id !== undefined && this.library.id_to_token(id)) || "";
  }
}
