/** Keywords of a JSON schema, read and checked. */

import { fail, isInteger } from "../engine/check_fields";

export type Schema = Record<string, unknown>;

/** What each type's rule looks at. */
export const KEYWORDS: Record<string, readonly string[]> = {
  string: ["minLength", "maxLength", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  number: ["minimum", "maximum"],
  boolean: [],
  null: [],
  object: ["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
};

/** The types that a schema without `type` tells of by their keywords; none: any value fits. */
export function inferredTypes(schema: Schema): string[] {
  return ["object", "array", "string"].filter((type) => KEYWORDS[type]!.some((keyword) => schema[keyword] !== undefined));
}

/** Bounds of a number's value; whole ones where they exclude it. */
export function wholeBounds(schema: Schema, path: string): { minimum?: number; maximum?: number } {
  const bounds: { minimum?: number; maximum?: number } = {};
  const take = (keyword: string, bound: "minimum" | "maximum", step: (value: number) => number): void => {
    const value = schema[keyword];
    if (value === undefined) return;
    if (typeof value !== "number" || !Number.isFinite(value)) return fail(`${path}.${keyword}`, `expected a number, found ${JSON.stringify(value)}`);
    bounds[bound] = bound === "minimum" ? Math.max(bounds[bound] ?? -Infinity, step(value)) : Math.min(bounds[bound] ?? Infinity, step(value));
  };
  take("minimum", "minimum", (value) => value);
  take("maximum", "maximum", (value) => value);
  // Whole numbers alone have a next one.
  take("exclusiveMinimum", "minimum", (value) => Math.floor(value) + 1);
  take("exclusiveMaximum", "maximum", (value) => Math.ceil(value) - 1);
  return bounds;
}

/** Two keywords that bound a count: [0, Infinity] where they are not there. */
export function counts(schema: Schema, least: string, most: string, path: string): [number, number] {
  const bound = (keyword: string, absent: number): number => {
    const value = schema[keyword];
    if (value === undefined) return absent;
    return isInteger(value) && value >= 0 ? value : fail(`${path}.${keyword}`, `expected an integer of at least 0, found ${JSON.stringify(value)}`);
  };
  const [low, high] = [bound(least, 0), bound(most, Infinity)];
  return low <= high ? [low, high] : fail(`${path}.${least}`, `${low} is more than ${most}, ${high}`);
}

/** A list of `least` items or more. */
export function list(value: unknown, path: string, least = 1): unknown[] {
  return Array.isArray(value) && value.length >= least ? value : fail(path, `expected a list${least > 0 ? ", not empty" : ""}, found ${JSON.stringify(value)}`);
}

/** The value's type, as schemas name it. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return isInteger(value) ? "integer" : typeof value;
}
