/** Writes JSON of a call's arguments, sign by sign and value by value, and knows at each what may come next. */

/** Deeper values are no call that anyone meant, and would exhaust the stack of whoever parses them. */
const DEEPEST = 100;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
/** Templates render values as Python does, and models copy that. */
const WORDS = new Map([["true", "true"], ["True", "true"], ["false", "false"], ["False", "false"], ["null", "null"], ["None", "null"], ["none", "null"]]);

type Expected = "object" | "key" | "key or end" | "colon" | "value" | "value or end" | "comma or end" | "nothing";

/** Each method gives what it adds to the JSON text, or null where it must not stand there. */
export class CallValues {
  private expected: Expected = "object";
  /** The objects and lists that are open, as the signs that will end them. */
  private readonly ends: ("}" | "]")[] = [];

  /** Whether the arguments are over, but for the last `}`. */
  get complete(): boolean {
    return this.expected === "nothing";
  }

  /** One of `{}[],:`. The outermost `}` adds nothing, so that only a call that has ended is whole JSON. */
  sign(sign: string): string | null {
    if (sign === "{" || sign === "[") return this.begin(sign);
    if (sign === "}" || sign === "]") return this.end(sign);
    if (sign === ",") return this.goOn();
    // A key may be empty, and then nothing stands before its colon.
    const key = this.expected === "key" || this.expected === "key or end" ? '""' : "";
    if (key === "" && this.expected !== "colon") return null;
    this.expected = "value";
    return `${key}:`;
  }

  /** A bare word: a number, a constant, JSON of a string, or else text. */
  word(word: string): string | null {
    const isKey = this.takeScalar();
    if (isKey === null) return null;
    if (isJsonString(word)) return word;
    const constant = isKey ? undefined : (WORDS.get(word) ?? (NUMBER.test(word) ? word : undefined));
    return constant ?? JSON.stringify(word);
  }

  /** The beginning of a string, whose characters and end the caller writes. */
  string(): string | null {
    return this.takeScalar() === null ? null : '"';
  }

  private begin(sign: "{" | "["): string | null {
    const fits = this.expected === "object" ? sign === "{" : this.expected === "value" || this.expected === "value or end";
    if (!fits || this.ends.length === DEEPEST) return null;
    this.ends.push(sign === "{" ? "}" : "]");
    this.expected = sign === "{" ? "key or end" : "value or end";
    return sign;
  }

  private end(sign: "}" | "]"): string | null {
    if (!this.expected.endsWith(" or end") || this.ends.at(-1) !== sign) return null;
    this.ends.pop();
    this.expected = this.ends.length === 0 ? "nothing" : "comma or end";
    return this.complete ? "" : sign;
  }

  private goOn(): string | null {
    if (this.expected !== "comma or end") return null;
    this.expected = this.ends.at(-1) === "}" ? "key" : "value";
    return ",";
  }

  /** Whether what stands here is a key; null where neither key nor value may. */
  private takeScalar(): boolean | null {
    const isKey = this.expected === "key" || this.expected === "key or end";
    if (!isKey && this.expected !== "value" && this.expected !== "value or end") return null;
    this.expected = isKey ? "colon" : "comma or end";
    return isKey;
  }
}

function isJsonString(word: string): boolean {
  try {
    return word.startsWith('"') && typeof JSON.parse(word) === "string";
  } catch {
    return false;
  }
}
