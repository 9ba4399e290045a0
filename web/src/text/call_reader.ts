/**
 * Reads Gemma's own syntax of a tool call, `call:NAME{key:<|"|>text<|"|>,n:1,list:[true,null]}`, into a name and JSON,
 * piece by piece. FunctionGemma has another token for quotes.
 *
 * Models write it with mistakes. What can be read in one way alone is read: a colon in front of `call`, or in its place;
 * `(…)` in place of `{…}`, around it, or around `key=value` as in Python; JSON; a comma too many; a key without a value;
 * a call without arguments; quotes and ends that are missing before the token that ends the call; a second call before it.
 * All else is no call.
 */

import { CallValues } from "./call_values";
import { isQuoted } from "./call_words";
import { QuotedText } from "./quoted_text";

/** In front of the arguments: `call:` or at least its colon, and the name. */
const HEAD = /^(?:[\s:]*call\s*:|\s*:)[\s:]*([^{(]+)$/s;
const BARE_NAME = /^[^\s"',;=[\]{}()<>]+$/;
const SIGN = /[{}[\],:]/;
/** A value with a colon: an address or a time. With white space a comma may be missing, so that it is two. */
const WITH_COLON = /^[^\s"']+$/;
/** Between the end of a call and the name of one more. */
const NEXT = /^[\s,;]*:?\s*call\s*:$/s;

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
  /** The quotation mark of the string that the word is, until it ends; models write such in place of their own quotes. */
  private quotation = "";
  private isEscaped = false;
  /** Whether the model's own quote ended the word, which began with a quotation mark. */
  private isMixed = false;
  private quoted = new QuotedText();
  /** Whether a colon stands in the word, outside of quotation marks. */
  private hasColon = false;
  /** "shell": behind a `(`, where an object may begin or its first key. */
  private place: "head" | "shell" | "outside" | "quotes" = "head";
  /** Whether `(` and `)` stand in place of the outermost `{` and `}`. */
  private isKeywords = false;
  /** What has to stand behind the arguments. */
  private owed = "";
  /** What stands there. */
  private tail = "";
  private next: string | undefined;

  /** Whether all that belongs to a call has been read, and nothing else. */
  get complete(): boolean {
    return !this.failed && this.values.complete && this.tail.trim() === this.owed;
  }

  /** The call's name, once: when it is known, which is where the arguments begin. */
  takeName(): string | undefined {
    const { name } = this;
    this.name = undefined;
    return name;
  }

  /** The text of one more call, which began behind this one; undefined where there is none. */
  takeNext(): string | undefined {
    return this.next;
  }

  /** Text of the call, which quotes may surround. Gives the JSON of the arguments that it makes certain. */
  text(text: string): string {
    if (this.failed || this.place === "quotes") {
      this.raw += text;
      return this.failed ? "" : this.quoted.text(text);
    }
    let json = "";
    for (const character of text) {
      if (this.next !== undefined) this.next += character;
      else {
        this.raw += character;
        json += this.character(character);
      }
    }
    return json;
  }

  /** The token that stands before and behind a string. */
  quote(): string {
    this.raw += '"';
    if (this.place === "quotes") {
      this.place = "outside";
      return this.failed ? "" : this.quoted.end();
    }
    if (isQuoted(this.word.trim())) {
      this.isMixed = true; // the string has ended by a quotation mark already
      return "";
    }
    if (this.place === "head" || this.quotation !== "") this.failed = true;
    this.quoted = new QuotedText();
    const before = this.place === "shell" ? this.beginKeywords() : this.endWord();
    this.place = "quotes";
    return before + this.take(() => this.values.string());
  }

  /**
   * The last of the arguments; null where this was no whole call. `marked`: the token that ends a call has come, so that
   * all is there that the model meant, and ends of objects and lists that are missing are added.
   */
  end(marked = false): string | null {
    let json = "";
    if (marked && !this.failed && this.place === "quotes") json += this.endQuotes();
    if (marked && !this.failed && !this.values.complete && this.quotation === "") {
      if (this.place === "head" && BARE_NAME.test(this.nameInHead())) json += this.beginArguments("(");
      if (this.place === "shell") json += this.beginKeywords();
      json += this.endWord() + this.take(() => this.values.close());
    }
    const isWhole = this.complete || (marked && !this.failed && this.values.complete && this.tail.trim() === "");
    return isWhole ? `${json}}` : null;
  }

  private character(character: string): string {
    switch (this.place) {
      case "head":
        if (character === "{" || character === "(") return this.beginArguments(character);
        this.head += character;
        return "";
      case "shell":
        if (/\s/.test(character)) return "";
        if (character !== "{") return this.beginKeywords() + this.character(character);
        this.place = "outside";
        this.owed = ")";
        return this.take(() => this.values.sign("{"));
      default:
        return this.values.complete ? this.behind(character) : this.inside(character);
    }
  }

  /** Ends a string of which the last quote is missing. */
  private endQuotes(): string {
    if (this.quoted.mayHoldKey) this.failed = true;
    if (this.failed) return "";
    this.place = "outside";
    let json = '"';
    for (const character of this.quoted.brackets) json += this.character(character);
    return json;
  }

  private nameInHead(): string {
    return HEAD.exec(this.head)?.[1]!.trim() ?? "";
  }

  private beginArguments(sign: "{" | "("): string {
    this.place = sign === "{" ? "outside" : "shell";
    const name = this.nameInHead();
    if (name === "") this.failed = true;
    else this.name = name;
    return sign === "{" ? this.take(() => this.values.sign("{")) : "";
  }

  private beginKeywords(): string {
    this.place = "outside";
    this.isKeywords = true;
    return this.take(() => this.values.sign("{"));
  }

  private inside(character: string): string {
    if (this.quotation !== "") {
      this.word += character;
      if (this.isEscaped) this.isEscaped = false;
      else if (character === "\\") this.isEscaped = true;
      else if (character === this.quotation) this.quotation = "";
      return "";
    }
    const sign = this.signOf(character);
    if (sign !== undefined) return this.endWord() + this.take(() => this.values.sign(sign));
    if (this.isMixed && /\S/.test(character)) this.failed = true;
    this.hasColon ||= character === ":";
    if (/["']/.test(character) && !/\S/.test(this.word)) this.quotation = character;
    this.word += character;
    return "";
  }

  private signOf(character: string): string | undefined {
    if (this.isKeywords && this.values.depth === 1) {
      if (character === "=" && this.values.expectsKey) return ":";
      if (character === ")" && count(this.word, "(") <= count(this.word, ")")) return "}";
    }
    if (character === ":" && this.isInValue()) return undefined;
    return SIGN.test(character) ? character : undefined;
  }

  /** A character behind the arguments. */
  private behind(character: string): string {
    this.tail += character;
    const { owed } = this;
    const rest = this.tail.trimStart();
    if (character === ":" && rest.startsWith(owed) && NEXT.test(rest.slice(owed.length))) {
      this.next = "call:";
      this.tail = owed;
    }
    return "";
  }

  private isInValue(): boolean {
    return this.values.expectsValue && /\S/.test(this.word);
  }

  private endWord(): string {
    const word = this.word.trim();
    this.word = "";
    if (this.hasColon && !WITH_COLON.test(word)) this.failed = true;
    this.hasColon = false;
    this.isMixed = false;
    return word === "" ? "" : this.take(() => this.values.word(word));
  }

  private take(write: () => string | null): string {
    if (this.failed) return "";
    const json = write();
    if (json === null) this.failed = true;
    return json ?? "";
  }
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
