/** Reads Gemma 4's own syntax of a tool call, `call:NAME{key:<|"|>text<|"|>,n:1,list:[true,null]}`, into a name and JSON, piece by piece. */

import { CallValues } from "./call_values";

const HEAD = /^\s*call:([^{]+)$/s;
const SIGN = /[{}[\],:]/;

/** What is no call is one that failed: it gives nothing more, and its end says so. */
export class CallReader {
  /** All that was read. */
  raw = "";
  private name: string | undefined;
  private readonly values = new CallValues();
  private failed = false;
  private head = "";
  /** What stands since the last sign outside of quotes. */
  private word = "";
  private place: "head" | "outside" | "quotes" = "head";

  /** The call's name, once: when it is known, which is where the arguments begin. */
  takeName(): string | undefined {
    const { name } = this;
    this.name = undefined;
    return name;
  }

  /** Text of the call, which quotes may surround. Gives the JSON of the arguments that it makes certain. */
  text(text: string): string {
    this.raw += text;
    if (this.failed) return "";
    if (this.place === "quotes") return JSON.stringify(text).slice(1, -1);
    let json = "";
    for (const character of text) json += this.character(character);
    return json;
  }

  /** The token that stands before and behind a string. */
  quote(): string {
    this.raw += '"';
    if (this.place === "quotes") {
      this.place = "outside";
      return this.failed ? "" : '"';
    }
    if (this.place === "head") this.failed = true;
    const json = this.endWord() + this.take(() => this.values.string());
    this.place = "quotes";
    return json;
  }

  /** The last of the arguments; null where this was no whole call. */
  end(): string | null {
    this.endWord(); // after the last sign it is one too many
    return this.failed || !this.values.complete ? null : "}";
  }

  private character(character: string): string {
    if (this.place === "head" && character !== "{") {
      this.head += character;
      return "";
    }
    if (this.place === "head") return this.beginArguments();
    const isSign = SIGN.test(character) && !this.isInString();
    if (isSign) return this.endWord() + this.take(() => this.values.sign(character));
    this.word += character;
    return "";
  }

  private beginArguments(): string {
    this.place = "outside";
    const name = HEAD.exec(this.head)?.[1]!.trim();
    if (!name) this.failed = true;
    else this.name = name;
    return this.take(() => this.values.sign("{"));
  }

  /** Whether the word is a string of JSON that has not ended, which some models write in place of their own quotes. */
  private isInString(): boolean {
    return /^\s*"(?:\\.|[^"\\])*\\?$/s.test(this.word);
  }

  private endWord(): string {
    const word = this.word.trim();
    this.word = "";
    return word === "" ? "" : this.take(() => this.values.word(word));
  }

  private take(write: () => string | null): string {
    if (this.failed) return "";
    const json = write();
    if (json === null) this.failed = true;
    return json ?? "";
  }
}
