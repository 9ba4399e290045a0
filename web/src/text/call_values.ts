/** Writes JSON of a call's arguments, sign by sign and value by value, and knows at each what may come next. */

import { jsonOfWord } from "./call_words";

/** Deeper values are no call that anyone meant, and would exhaust the stack of whoever parses them. */
const DEEPEST = 100;

/** "key" and "item" may also be the end: models leave a comma before it. A "value" of an object may be missing: "" then. */
type Expected = "object" | "key" | "colon" | "value" | "item" | "comma" | "nothing";

/** Each method gives what it adds to the JSON text, or null where it must not stand there. */
export class CallValues {
  private expected: Expected = "object";
  /** The objects and lists that are open, as the signs that will end them. */
  private readonly ends: ("}" | "]")[] = [];
  /** A comma was read, which is written when something follows it. */
  private owesComma = false;

  /** Whether the arguments are over, but for the last `}`. */
  get complete(): boolean {
    return this.expected === "nothing";
  }

  get expectsKey(): boolean {
    return this.expected === "key";
  }

  get expectsValue(): boolean {
    return this.expected === "value";
  }

  get depth(): number {
    return this.ends.length;
  }

  /** One of `{}[],:`. The outermost `}` adds nothing, so that only a call that has ended is whole JSON. */
  sign(sign: string): string | null {
    if (sign === "{" || sign === "[") return this.begin(sign);
    if (sign === "}" || sign === "]") return this.end(sign);
    return sign === "," ? this.goOn() : this.colon();
  }

  /** A bare word: a number, a constant, a string in quotation marks, or else text. */
  word(word: string): string | null {
    const isKey = this.expected === "key";
    return this.scalar(jsonOfWord(word, isKey));
  }

  /** The beginning of a string, whose characters and end the caller writes. */
  string(): string | null {
    return this.scalar('"');
  }

  /** Ends all that is open, as if the signs for it were there. */
  close(): string | null {
    let json = "";
    while (this.ends.length > 0) {
      const end = this.end(this.ends.at(-1)!);
      if (end === null) return null;
      json += end;
    }
    return json;
  }

  private begin(sign: "{" | "["): string | null {
    const fits = this.expected === "object" ? sign === "{" : this.expected === "value" || this.expected === "item";
    if (!fits || this.ends.length === DEEPEST) return null;
    this.ends.push(sign === "{" ? "}" : "]");
    this.expected = sign === "{" ? "key" : "item";
    return this.dueComma() + sign;
  }

  private end(sign: "}" | "]"): string | null {
    if (this.expected === "colon" || this.ends.at(-1) !== sign) return null;
    const value = this.expected === "value" ? '""' : "";
    this.ends.pop();
    this.owesComma = false;
    this.expected = this.ends.length === 0 ? "nothing" : "comma";
    return value + (this.complete ? "" : sign);
  }

  private goOn(): string | null {
    if (this.expected === "key") return ""; // one comma too many
    if (this.expected !== "comma" && this.expected !== "value") return null;
    const value = this.expected === "value" ? '""' : "";
    this.expected = this.ends.at(-1) === "}" ? "key" : "item";
    this.owesComma = true;
    return value;
  }

  private colon(): string | null {
    // A key may be empty, and then nothing stands before its colon.
    const key = this.expected === "key" ? `${this.dueComma()}""` : "";
    if (key === "" && this.expected !== "colon") return null;
    this.expected = "value";
    return `${key}:`;
  }

  /** A key or a value; null where neither may stand. */
  private scalar(json: string): string | null {
    if (this.expected !== "key" && this.expected !== "value" && this.expected !== "item") return null;
    this.expected = this.expected === "key" ? "colon" : "comma";
    return this.dueComma() + json;
  }

  private dueComma(): string {
    const comma = this.owesComma ? "," : "";
    this.owesComma = false;
    return comma;
  }
}
