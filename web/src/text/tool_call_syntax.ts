/** Gemma 4's own syntax of a tool call, `call:NAME{key:<|"|>text<|"|>,n:1,list:[true,null]}`, to a name and JSON. */

export interface ParsedCall {
  name: string;
  /** JSON text of an object. Numbers are as the model wrote them. */
  arguments: string;
}

/** A sign of the syntax, a bare word (a number, a key, `true`), or a string. */
type Lexeme = { kind: "sign" | "word" | "string"; text: string };

const HEAD = /^\s*call:([^{]+)(\{.*)$/s;
const LEXEMES = /[{}[\],:]|[^{}[\],:]+/g;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
/** Deeper values are no call that anyone meant, and would exhaust the stack. */
const DEEPEST = 100;
/** Templates render values as Python does, and models copy that. */
const WORDS = new Map([["true", "true"], ["True", "true"], ["false", "false"], ["False", "false"], ["null", "null"], ["None", "null"], ["none", "null"]]);

/**
 * `parts`: by turns the text outside and inside quotes, as `text.split(quote)` would give them. Null where this is no whole call.
 * A word that is no number and no constant is taken as text, and so are arguments that are JSON.
 */
export function parseCall(parts: readonly string[]): ParsedCall | null {
  const [, name, begin] = HEAD.exec(parts[0]!) ?? [];
  if (name === undefined || begin === undefined) return null;
  if (parts.length === 1 && isJson(begin)) return { name: name.trim(), arguments: begin.trim() };
  const values = new Values([begin, ...parts.slice(1)].flatMap(lexemes));
  const json = values.read();
  return json !== null && values.atEnd ? { name: name.trim(), arguments: json } : null;
}

function lexemes(part: string, index: number): Lexeme[] {
  if (index % 2 === 1) return [{ kind: "string", text: part }];
  const found = (part.match(LEXEMES) ?? []).map((text): Lexeme => ({ kind: /^[{}[\],:]$/.test(text) ? "sign" : "word", text: text.trim() }));
  return found.filter(({ kind, text }) => kind === "sign" || text !== "");
}

/** Reads JSON text of the values in a list of lexemes, one after the other; null where there is none. */
class Values {
  private next = 0;
  private depth = 0;

  constructor(private readonly lexemes: readonly Lexeme[]) {}

  get atEnd(): boolean {
    return this.next === this.lexemes.length;
  }

  read(): string | null {
    if (this.takes("{")) return this.list("}", "{", () => this.entry());
    if (this.takes("[")) return this.list("]", "[", () => this.read());
    const text = this.takeText();
    if (!text) return null;
    if (text.kind === "string") return JSON.stringify(text.text);
    return WORDS.get(text.text) ?? (NUMBER.test(text.text) ? text.text : JSON.stringify(text.text));
  }

  private list(end: string, begin: string, item: () => string | null): string | null {
    const items: string[] = [];
    if (++this.depth > DEEPEST) return null;
    while (!this.takes(end)) {
      if (items.length > 0 && !this.takes(",")) return null;
      const read = item();
      if (read === null) return null;
      items.push(read);
    }
    this.depth -= 1;
    return begin + items.join(",") + end;
  }

  private entry(): string | null {
    const key = this.takeText()?.text ?? ""; // a key may be empty
    if (!this.takes(":")) return null;
    const value = this.read();
    return value === null ? null : `${JSON.stringify(key)}:${value}`;
  }

  private takeText(): Lexeme | undefined {
    const lexeme = this.lexemes[this.next];
    if (!lexeme || lexeme.kind === "sign") return undefined;
    this.next += 1;
    return lexeme;
  }

  private takes(sign: string): boolean {
    const lexeme = this.lexemes[this.next];
    const found = lexeme?.kind === "sign" && lexeme.text === sign;
    if (found) this.next += 1;
    return found;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
