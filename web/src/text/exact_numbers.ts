/** Numbers of JSON text as Python has them, and JavaScript not: whole ones of any length, and 1.0 that is not 1. */

import type { Json } from "./messages";
import type { Value } from "./python";

/** A number that JavaScript would change. It stands in a `Json` value until a template is rendered. */
export class ExactNumber {
  constructor(readonly text: string) {}
}

/** Strings, so that digits in them are passed over, and numbers. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs;

/** The value of JSON text, with `ExactNumber` where a number needs one. Throws SyntaxError. */
export function parseExactly(text: string): Json {
  const value = JSON.parse(text) as Json;
  if (!(text.match(TOKENS) ?? []).some(isChanged)) return value;
  const mark = unusedCharacter(JSON.stringify(value));
  const marked = text.replace(TOKENS, (token) => (isChanged(token) ? `"${mark}${token}"` : token));
  const isMarked = (item: unknown): item is string => typeof item === "string" && item.startsWith(mark);
  return JSON.parse(marked, (_, item: unknown) => (isMarked(item) ? new ExactNumber(item.slice(1)) : item)) as Json;
}

/** Puts numbers of the template's own kinds where `original` has exact ones. `whole`, `real`: values of these kinds. */
export function placeExactNumbers(original: unknown, value: Value, whole: Value, real: Value): void {
  const placed = (item: unknown, current: Value): Value => {
    if (item instanceof ExactNumber) return numberValue(item.text, whole, real);
    placeExactNumbers(item, current, whole, real);
    return current;
  };
  if (typeof original !== "object" || original === null) return;
  if (Array.isArray(original)) {
    const list = value.value as Value[];
    original.forEach((item, i) => (list[i] = placed(item, list[i]!)));
  } else {
    const map = value.value as Map<string, Value>;
    for (const [key, item] of Object.entries(original)) map.set(key, placed(item, map.get(key)!));
  }
}

function numberValue(text: string, whole: Value, real: Value): Value {
  const like = isWhole(text) ? whole : real;
  const made = new (like.constructor as new (value: number) => Value)(Number(text));
  return isWhole(text) ? Object.assign(made, { digits: text }) : made;
}

function isWhole(text: string): boolean {
  return /^-?\d+$/.test(text);
}

/** Whether JavaScript's number prints another one than Python's. */
function isChanged(token: string): boolean {
  if (token.startsWith('"')) return false;
  const number = Number(token);
  return isWhole(token) ? !Number.isSafeInteger(number) : Number.isInteger(number) || !Number.isFinite(number);
}

function unusedCharacter(text: string): string {
  for (let code = 0xe000; code <= 0xf8ff; code++) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) return character;
  }
  throw new SyntaxError("the text uses all private-use characters of Unicode");
}
