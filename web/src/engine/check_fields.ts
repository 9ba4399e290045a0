/** Checks of values field by field. What is not known is an error: silence would hide it. */

import { GemletError } from "../errors";
import { nearestName } from "./nearest_name";
import type { OrNull } from "./openai";

/** Throws GemletError "bad-request" that names `path` where the value is wrong. */
export type Check = (value: unknown, path: string) => void;

export const isInteger = (value: unknown): value is number => Number.isInteger(value);
export const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
export const within = (low: number, high: number) => (value: unknown) =>
  typeof value === "number" && Number.isFinite(value) && value >= low && value <= high;

export function check(expected: string, holds: (value: unknown) => boolean): Check {
  return (value, path) => {
    if (!holds(value)) fail(path, `expected ${expected}, found ${show(value)}`);
  };
}

/** An object with all fields of `required` and any of `optional`; one that is undefined counts as absent. */
export function fields(required: Record<string, Check>, optional: Record<string, Check> = {}): Check {
  const checks = new Map(Object.entries({ ...required, ...optional }));
  return (value, path) => {
    if (!isObject(value)) return fail(path || "parameters", `expected an object, found ${show(value)}`);
    for (const [field, item] of Object.entries(value)) {
      if (item === undefined) continue;
      const checkField = checks.get(field);
      if (checkField) checkField(item, join(path, field));
      else fail(join(path, field), notKnown(field, checks.keys()));
    }
    // Last, since a field that is missing is often there by another name.
    const missing = Object.keys(required).find((field) => value[field] === undefined);
    if (missing !== undefined) fail(join(path, missing), "the field is missing");
  };
}

/** A list, not empty unless `least` is 0. */
export function listOf(what: string, item: Check, least = 1): Check {
  return (value, path) => {
    const isLong = Array.isArray(value) && value.length >= least;
    if (!isLong) return fail(path, `expected a list of ${what}${least > 0 ? ", not empty" : ""}, found ${show(value)}`);
    value.forEach((each, index) => item(each, `${path}[${index}]`));
  };
}

/** Null, a boolean, a number, text, or a list or plain object of such. */
export const json: Check = (value, path) => {
  if (value === null || typeof value === "boolean" || typeof value === "string" || within(-Infinity, Infinity)(value)) return;
  if (Array.isArray(value)) return value.forEach((item, index) => json(item, `${path}[${index}]`));
  const isPlain = isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);
  if (!isPlain) return fail(path, `expected JSON, found ${show(value)}`);
  for (const [field, item] of Object.entries(value)) json(item, join(path, field));
};

export const jsonObject: Check = (value, path) => {
  check("an object", isObject)(value, path);
  json(value, path);
};

/** Fields with objects of the API, or lists of them. All others hold the caller's own values, of which null may be one. */
const INNER = new Set([
  "messages", "tool_calls", "tools", "tool_choice", "function", "response_format", "json_schema", "stream_options",
]);
/** The deepest of them is `messages[i].tool_calls[j].function`. */
const DEEPEST = 6;

/**
 * The same without fields that are null, which means that they are absent; but for `content`, which a template may ask
 * for. Nothing is changed in place.
 */
export function withoutNulls<T>(params: OrNull<T>): T;
export function withoutNulls(value: unknown, depth?: number): unknown;
export function withoutNulls(value: unknown, depth = 1): unknown {
  if (depth > DEEPEST) return value;
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, depth + 1));
  if (!isObject(value)) return value;
  const given = Object.entries(value).filter(([field, item]) => item !== null || field === "content");
  const inner = (field: string, item: unknown): unknown => (INNER.has(field) ? withoutNulls(item, depth + 1) : item);
  return Object.fromEntries(given.map(([field, item]) => [field, inner(field, item)]));
}

export function fail(path: string, problem: string): never {
  throw new GemletError("bad-request", `${path}: ${problem}`);
}

function join(path: string, field: string): string {
  return path === "" ? field : `${path}.${field}`;
}

function notKnown(field: string, known: Iterable<string>): string {
  const nearest = nearestName(field, known);
  return `this field is not supported${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
}

/** What was found, for an error: of any value and size, in few characters. */
export function show(value: unknown): string {
  const text = shown(value, SHOWN_LEVELS);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

const SHOWN = 80;
const SHOWN_LEVELS = 4;

function shown(value: unknown, levels: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN + 1));
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  const few = Array.isArray(value) ? value.slice(0, SHOWN) : Object.entries(value).slice(0, SHOWN);
  if (levels === 0) return "…";
  if (Array.isArray(value)) return `[${few.map((item) => shown(item, levels - 1)).join(",")}]`;
  return `{${(few as [string, unknown][]).map(([key, item]) => `${shown(key, 1)}:${shown(item, levels - 1)}`).join(",")}}`;
}
