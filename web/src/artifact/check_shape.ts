/** Checks the types of parsed JSON, field by field, so that what reads it afterwards need not ask. */

/** Throws an error of that text. */
export type Fail = (problem: string) => never;
/** Calls `fail` unless the value is as expected; `where`: the way to it. */
export type Rule = (value: unknown, where: string, fail: Fail) => void;

function rule(holds: (value: unknown) => boolean, expected: string): Rule {
  return (value, where, fail) => {
    if (!holds(value)) fail(`${where} is ${shown(value)}, expected ${expected}`);
  };
}

export const anything: Rule = () => undefined;
export const text = rule((value) => typeof value === "string", "a text");
export const flag = rule((value) => typeof value === "boolean", "true or false");
export const number = rule(Number.isFinite, "a number");
export const hash = rule((value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value), "a SHA-256");

/** A whole number from `least` to `most`. */
export function whole(least = 0, most = Number.MAX_SAFE_INTEGER): Rule {
  return rule((value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most, `a whole number from ${least}`);
}

export function oneOf(...values: readonly string[]): Rule {
  return rule((value) => values.includes(value as string), values.map((each) => JSON.stringify(each)).join(" or "));
}

export function either(first: Rule, ...others: ((value: unknown) => boolean)[]): Rule {
  return (value, where, fail) => {
    if (!others.some((holds) => holds(value))) first(value, where, fail);
  };
}

export const orNull = (inner: Rule): Rule => either(inner, (value) => value === null);
export const orMissing = (inner: Rule): Rule => either(inner, (value) => value === undefined);

/** A list whose items are as `item` says; `length`: how many, where that is fixed. */
export function list(item: Rule, length?: number): Rule {
  return (value, where, fail) => {
    if (!Array.isArray(value)) return fail(`${where} is ${shown(value)}, expected array`);
    if (length !== undefined && value.length !== length) fail(`${where} has ${value.length} items, expected ${length}`);
    for (const [i, each] of value.entries()) item(each, `${where}[${i}]`, fail);
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object with these fields, each as its rule says, and perhaps others. */
export function object(fields: Readonly<Record<string, Rule>>): Rule {
  return (value, where, fail) => {
    if (!isObject(value)) return fail(`${where} is ${shown(value)}, expected object`);
    for (const [key, check] of Object.entries(fields)) check(Object.hasOwn(value, key) ? value[key] : undefined, `${where}.${key}`, fail);
  };
}

/** An object whose every value is as `item` says. */
export function mapOf(item: Rule): Rule {
  return (value, where, fail) => {
    if (!isObject(value)) return fail(`${where} is ${shown(value)}, expected object`);
    for (const [key, each] of Object.entries(value)) item(each, `${where}.${key}`, fail);
  };
}

/** A value in a message: only its kind, where it is no plain value. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "object" && value !== null) return "object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 60)) : String(value);
}

/** Whether a value is as the rule says. */
export function isOf(check: Rule, value: unknown): boolean {
  let holds = true;
  const fail = (): never => {
    holds = false;
    throw STOP;
  };
  try {
    check(value, "", fail);
  } catch (cause) {
    if (cause !== STOP) throw cause;
  }
  return holds;
}

const STOP = Symbol("stop");
