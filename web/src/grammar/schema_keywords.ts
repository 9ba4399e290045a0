/** Keywords of a JSON schema, read and checked. */

import { fail, isInteger, show } from "../engine/check_fields";
import { FORMATS } from "./json_rules";

export type Schema = Record<string, unknown>;

/** What each type's rule looks at. */
export const KEYWORDS: Record<string, readonly string[]> = {
  string: ["minLength", "maxLength", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"],
  number: ["minimum", "maximum", "format"],
  boolean: [],
  null: [],
  object: ["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
};

/** What says nothing about a value, in JSON Schema or OpenAI's or OpenAPI's dialect of it; `x-…` does not either. */
const NOTES: ReadonlySet<string> = new Set([
  "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "id", "$anchor", "$dynamicAnchor",
  "$vocabulary", "$defs", "definitions", "contentEncoding", "contentMediaType", "contentSchema", "externalDocs", "xml", "discriminator", "nullable",
]);

export function isNote(keyword: string): boolean {
  return NOTES.has(keyword) || keyword.startsWith("x-");
}

/** OpenAPI's formats of numbers, with the least and the largest; null: no bounds but those of the numbers that are written at all. */
const NUMBER_FORMATS = new Map<unknown, [number, number] | null>([
  ["int8", [-(2 ** 7), 2 ** 7 - 1]], ["uint8", [0, 2 ** 8 - 1]], ["int16", [-(2 ** 15), 2 ** 15 - 1]], ["uint16", [0, 2 ** 16 - 1]],
  ["int32", [-(2 ** 31), 2 ** 31 - 1]], ["uint32", [0, 2 ** 32 - 1]], ["int64", null], ["uint64", [0, 2 ** 64]], ["float", null], ["double", null], ["decimal", null],
]);

export const isNumberFormat = (format: unknown): boolean => NUMBER_FORMATS.has(format);
/** Says nothing of numbers, as a number's says nothing of texts. */
export const isTextFormat = (format: unknown): format is string => typeof format === "string" && Object.hasOwn(FORMATS, format);

/** The schema's types; those of its keywords where it names none, and none of these either: any value fits. */
export function typesOf(schema: Schema, path: string): string[] {
  const { type, nullable } = schema;
  if (nullable !== undefined && typeof nullable !== "boolean") fail(`${path}.nullable`, `expected true or false, found ${show(nullable)}`);
  if (type === undefined) return inferredTypes(schema);
  const types = list(typeof type === "string" ? [type] : type, `${path}.type`);
  const wrong = types.find((each) => typeof each !== "string" || !Object.hasOwn(KEYWORDS, each));
  if (wrong !== undefined) fail(`${path}.type`, `expected ${Object.keys(KEYWORDS).join(", ")}, found ${show(wrong)}`);
  // OpenAPI 3.0: it adds to a type, and says nothing where there is none.
  return [...new Set([...(types as string[]), ...(nullable === true ? ["null"] : [])])];
}

/** The types that a schema without `type` tells of by their keywords; none: any value fits. */
function inferredTypes(schema: Schema): string[] {
  return ["object", "array", "string"].filter((type) => KEYWORDS[type]!.some((keyword) => schema[keyword] !== undefined));
}

/** Bounds of a number's value; whole ones where they exclude it. */
export function wholeBounds(schema: Schema, path: string): { minimum?: number; maximum?: number } {
  const bounds: { minimum?: number; maximum?: number } = {};
  const take = (keyword: string, bound: "minimum" | "maximum", step: (value: number) => number): void => {
    const value = schema[keyword];
    if (value === undefined) return;
    if (typeof value !== "number" || !Number.isFinite(value)) return fail(`${path}.${keyword}`, `expected a number, found ${show(value)}`);
    bounds[bound] = bound === "minimum" ? Math.max(bounds[bound] ?? -Infinity, step(value)) : Math.min(bounds[bound] ?? Infinity, step(value));
  };
  const { format } = schema;
  if (format !== undefined && !NUMBER_FORMATS.has(format) && !isTextFormat(format)) fail(`${path}.format`, `expected ${[...NUMBER_FORMATS.keys()].join(", ")}, found ${show(format)}`);
  const range = NUMBER_FORMATS.get(format);
  if (range) [bounds.minimum, bounds.maximum] = range;
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
    return isInteger(value) && value >= 0 ? value : fail(`${path}.${keyword}`, `expected an integer of at least 0, found ${show(value)}`);
  };
  const [low, high] = [bound(least, 0), bound(most, Infinity)];
  return low <= high ? [low, high] : fail(`${path}.${least}`, `${low} is more than ${most}, ${high}`);
}

/** A list of `least` items or more. */
export function list(value: unknown, path: string, least = 1): unknown[] {
  return Array.isArray(value) && value.length >= least ? value : fail(path, `expected a list${least > 0 ? ", not empty" : ""}, found ${show(value)}`);
}

/** The value's type, as schemas name it. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return isInteger(value) ? "integer" : typeof value;
}
