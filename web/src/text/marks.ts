/**
 * Keeps what a caller writes from becoming special tokens.
 *
 * Before a template is rendered, each special token in the caller's strings is put between two marks: characters that occur
 * nowhere else. In the rendered text, a token between marks is the caller's, and is encoded as the characters that it is;
 * any other is the template's. Such tokens stay whole, because templates look for some of them (to take the thoughts out of an
 * old answer). Where a template cuts a mark off its token, the mark that is left still ends the text before it.
 *
 * Strings may also begin or end with a piece of a token, which a template could join to a whole one: a guard goes between,
 * and leaves no trace in the ids.
 *
 * One more mark, the cut, may stand behind the last message's content, where an answer is to go on: what the template writes behind it is
 * the end of that message, and is left off.
 */

import { GemletError } from "../errors";
import { ExactNumber } from "./exact_numbers";
import type { Json } from "./messages";
import { strip, stripEnd } from "./python";
import { joined } from "./long_text";
import type { Tokenizer } from "./tokenizer";

export class Marks {
  private readonly begin: string;
  private readonly end: string;
  private readonly guard: string;
  private readonly cut: string;

  /** `written`: all text in which a mark must not occur. Throws GemletError "bad-request" where no character is free. */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly pieces: TokenPieces,
    written: string,
  ) {
    [this.begin, this.end, this.guard, this.cut] = unusedCharacters(written, 4) as [string, string, string, string];
  }

  /** The value with marks in all of its strings, keys too. */
  add(value: Json): Json {
    if (typeof value === "string") return this.addToText(value);
    if (typeof value !== "object" || value === null || value instanceof ExactNumber) return value;
    if (Array.isArray(value)) return value.map((item) => this.add(item));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.addToText(key), this.add(item)]));
  }

  /** Puts the cut behind the content of the last of marked messages, or behind the last text of its parts. */
  addCut(messages: { content: Json }[]): void {
    const last = messages.at(-1)!;
    // The space shows afterwards whether the template trims.
    const cut = `${this.cut} `;
    if (typeof last.content === "string") last.content += cut;
    else (last.content as { text: string }[]).at(-1)!.text += cut;
  }

  /**
   * What was rendered before the cut; where the template trims, without white space at its end, so that a trimmed text is the same with the cut and without.
   * Throws GemletError "bad-request" where the template wrote no cut.
   */
  beforeCut(rendered: string): string {
    const at = rendered.lastIndexOf(this.cut);
    if (at < 0) throw new GemletError("bad-request", "continue_final_message: the model's chat template leaves the last message's content out, or its end");
    const before = rendered.slice(0, at);
    return rendered[at + 1] === " " ? before : stripEnd(before);
  }

  /** Token ids of what was rendered from marked values; as in `Tokenizer.encode`, of its beginning alone where they are many more than `most`. */
  encode(rendered: string, most = Infinity): number[] {
    const { tokenizer, begin, end } = this;
    const cuts = new RegExp(`${begin}${tokenizer.specialPattern.source}${end}|[${begin}${end}]`);
    // By turns: text, and what was between marks, which is undefined where a mark had no partner.
    const parts = rendered.split(cuts) as (string | undefined)[];
    const pieces = parts.map((part, index) => (): number[] => {
      if (part === undefined) return [];
      return index % 2 === 1 ? tokenizer.encodePlain(part, most) : this.encodeText(part, most);
    });
    return joined(pieces, most);
  }

  private encodeText(text: string, most: number): number[] {
    const pieces = this.tokenizer.splitAtSpecial(text).map((part) => (): number[] => {
      const id = this.tokenizer.special.get(part);
      return id === undefined ? this.tokenizer.encodePlain(part.replaceAll(this.guard, ""), most) : [id];
    });
    return joined(pieces, most);
  }

  private addToText(text: string): string {
    const { special } = this.tokenizer;
    const marked = this.tokenizer.splitAtSpecial(text).map((part) => (special.has(part) ? this.begin + part + this.end : part));
    // Templates trim, so white space outside makes no difference.
    const inner = strip(text);
    const first = this.pieces.beginsWithAnEnd(inner) ? this.guard : "";
    const last = this.pieces.endsWithABeginning(inner) ? this.guard : "";
    return guardInside(marked.join(""), first, last);
  }
}

/** Finds proper beginnings and ends of tokens at the ends of a text. */
export class TokenPieces {
  private readonly beginnings = new Set<string>();
  private readonly ends = new Set<string>();
  private longest = 0;

  constructor(tokens: Iterable<string>) {
    for (const token of tokens) {
      this.longest = Math.max(this.longest, token.length - 1);
      for (let length = 1; length < token.length; length++) {
        this.beginnings.add(token.slice(0, length));
        this.ends.add(token.slice(-length));
      }
    }
  }

  beginsWithAnEnd(text: string): boolean {
    return this.some(text, (length) => this.ends.has(text.slice(0, length)));
  }

  endsWithABeginning(text: string): boolean {
    return this.some(text, (length) => this.beginnings.has(text.slice(-length)));
  }

  private some(text: string, holds: (length: number) => boolean): boolean {
    for (let length = 1; length <= Math.min(this.longest, text.length); length++) if (holds(length)) return true;
    return false;
  }
}

function guardInside(text: string, first: string, last: string): string {
  const inner = strip(text);
  const at = text.indexOf(inner);
  return text.slice(0, at) + first + inner + last + text.slice(at + inner.length);
}

function unusedCharacters(text: string, count: number): string[] {
  const used = new Set(text.match(/[\ue000-\uf8ff]/g));
  const unused = [];
  for (let code = 0xe000; code <= 0xf8ff && unused.length < count; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) unused.push(character);
  }
  if (unused.length === count) return unused;
  throw new GemletError("bad-request", `messages: they use the private-use characters of Unicode, of which ${count} must be free`);
}
