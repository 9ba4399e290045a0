/** Text as Python makes it: what `str`, `repr` and `str.strip` give for the values of a template. */

/** A value of @huggingface/jinja. Only its type tells None from an undefined variable, and 2.0 from 2. */
export interface Value {
  type: string;
  value: unknown;
}

// Python's white space: unlike JavaScript's, it has four separators and NEL, and not the byte order mark.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const SPACE_AT_END = new RegExp(`${SPACE}$`);
const OUTER_SPACE = new RegExp(`^${SPACE}|${SPACE}$`, "g");

export function strip(text: string): string {
  return text.replace(OUTER_SPACE, "");
}

export function stripEnd(text: string): string {
  return text.replace(SPACE_AT_END, "");
}

/** `str(value)`; nothing for an undefined variable, as Jinja has it. */
export function str(value: Value): string {
  if (value.type === "UndefinedValue") return "";
  return value.type === "StringValue" ? (value.value as string) : repr(value);
}

function repr({ type, value }: Value): string {
  if (type === "NullValue") return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return type === "FloatValue" ? reprFloat(value) : BigInt(value).toString();
  if (typeof value === "string") return reprText(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (!(value instanceof Map)) return String(value);
  const pairs = Array.from(value as Map<string, Value>, ([key, item]) => `${reprText(key)}: ${repr(item)}`);
  return `{${pairs.join(", ")}}`;
}

function reprFloat(value: number): string {
  if (Number.isInteger(value)) return value.toFixed(1);
  return Math.abs(value) < 1e-4 ? value.toExponential().replace(/e-(\d)$/, "e-0$1") : String(value);
}

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const names: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": quote === "'" ? "\\'" : "'" };
  const code = (character: string) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  return quote + text.replace(/[\\'\x00-\x1f\x7f-\xa0\xad]/g, (character) => names[character] ?? code(character)) + quote;
}
