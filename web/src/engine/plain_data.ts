/** What a caller passes, read once: as plain data that any worker can be sent, whatever it was (a proxy, getters, a class's lists). */

import { GemletError } from "../errors";
import { fail } from "./check_fields";

/** Levels of lists and objects; browsers send some thousand, and what is deeper arrives as nothing. */
export const MOST_LEVELS = 128;
/** Values of a request, those in lists too. */
export const MOST_VALUES = 10_000_000;

/**
 * A copy of lists and plain objects, whose fields that are undefined are left out; anything else is itself. Throws GemletError "bad-request" that names the field
 * where reading fails, and where it nests too deep, as what contains itself does, or has too many values.
 */
export function plainCopy(value: unknown, path = ""): unknown {
  let values = 0;
  const count = (more: number, where: string): void => {
    values += more;
    if (values > MOST_VALUES) fail(shortened(where), `expected at most ${MOST_VALUES} values in a request, found more`);
  };
  const copy = (each: unknown, where: string, level: number): unknown => {
    const isList = Array.isArray(each);
    if (!isList && !isPlainObject(each)) return each;
    if (level > MOST_LEVELS) fail(shortened(where), `expected at most ${MOST_LEVELS} levels of lists and objects, found more`);
    const inside = (item: unknown, name: () => string): unknown => (typeof item === "object" && item !== null ? copy(item, name(), level + 1) : item);
    if (isList) {
      const { length } = each;
      count(length, where);
      return Array.from({ length }, (_, i) => inside(each[i], () => `${where}[${i}]`));
    }
    const entries = Object.entries(each).filter(([, item]) => item !== undefined);
    count(entries.length, where);
    return Object.fromEntries(entries.map(([key, item]) => [key, inside(item, () => (where === "" ? key : `${where}.${key}`))]));
  };
  try {
    return copy(value, path, 1);
  } catch (cause) {
    if (cause instanceof GemletError) throw cause;
    return fail(path || "parameters", `reading them failed: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

/** Whether it nests no deeper than `MOST_LEVELS`; of JSON that was parsed. */
export function isShallow(value: unknown, levels = MOST_LEVELS): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isShallow(item, levels - 1));
}

function isPlainObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);
}

function shortened(path: string): string {
  return path.length > 80 ? `${path.slice(0, 80)}…` : path || "parameters";
}
