/** Text as Python makes it: what `str`, `repr` and `str.strip` give for the values of a template. */

/** A value of @huggingface/jinja. Only its type tells None from an undefined variable, and 2.0 from 2. */
export interface Value {
  type: string;
  value: unknown;
  /** Of a whole number that JavaScript's cannot hold. */
  digits?: string;
}

// Python's white space: unlike JavaScript's, it has four separators and NEL, and not the byte order mark.
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

export function strip(text: string): string {
  let start = 0;
  while (start < text.length && SPACE.test(text[start]!)) start += 1;
  return stripEnd(text.slice(start));
}

// A pattern for white space at the end would be tried at each space: time that grows with the square of a run.
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}

/** `str(value)`; nothing for an undefined variable, as Jinja has it. */
export function str(value: Value): string {
  if (value.type === "UndefinedValue") return "";
  return value.type === "StringValue" ? (value.value as string) : repr(value);
}

/** How `json.dumps` sets out what it writes. */
export interface JsonLayout {
  indent?: number | null;
  separators?: readonly [string, string] | null;
  sort_keys?: boolean;
  ensure_ascii?: boolean;
}

/** `json.dumps(value)`. Throws Error where JSON has no such value. */
export function dumps(value: Value, layout: JsonLayout = {}, depth = 1): string {
  const { indent = null, sort_keys = false, ensure_ascii = false } = layout;
  const [comma, colon] = layout.separators ?? [indent === null ? ", " : ",", ": "];
  const quoted = (text: string): string => {
    const json = JSON.stringify(text);
    const code = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return ensure_ascii ? json.replace(/[^\0-\x7f]/g, code) : json;
  };
  const lines = (begin: string, items: string[], end: string): string => {
    if (indent === null || items.length === 0) return begin + items.join(comma) + end;
    const line = (level: number): string => `\n${" ".repeat(indent * level)}`;
    return begin + line(depth) + items.join(comma + line(depth)) + line(depth - 1) + end;
  };
  const { type, value: inner } = value;
  if (type === "NullValue" || type === "UndefinedValue") return "null";
  if (typeof inner === "boolean") return String(inner);
  if (typeof inner === "number") return reprNumber(value).replace("inf", "Infinity").replace("nan", "NaN");
  if (typeof inner === "string") return quoted(inner);
  if (Array.isArray(inner)) return lines("[", inner.map((item: Value) => dumps(item, layout, depth + 1)), "]");
  if (!(inner instanceof Map)) throw new Error(`${type} is no JSON`);
  const entries = [...(inner as Map<string, Value>)];
  if (sort_keys) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return lines("{", entries.map(([key, item]) => quoted(key) + colon + dumps(item, layout, depth + 1)), "}");
}

function repr(whole: Value): string {
  const { type, value } = whole;
  if (type === "NullValue") return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return reprNumber(whole);
  if (typeof value === "string") return reprText(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (!(value instanceof Map)) return String(value);
  const pairs = Array.from(value as Map<string, Value>, ([key, item]) => `${reprText(key)}: ${repr(item)}`);
  return `{${pairs.join(", ")}}`;
}

function reprNumber({ type, value, digits }: Value): string {
  if (type === "FloatValue") return reprFloat(value as number);
  return BigInt(digits ?? (value as number)).toString(); // -0 is 0 there
}

function reprFloat(value: number): string {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e16) return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const names: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": quote === "'" ? "\\'" : "'" };
  const code = (character: string) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  return quote + text.replace(/[\\'\x00-\x1f\x7f-\xa0\xad]/g, (character) => names[character] ?? code(character)) + quote;
}
