/** The references of a JSON schema into itself. */

import { fail, isObject, show } from "../engine/check_fields";

export class References {
  /** From each schema that is referred to, those that it refers to with no object or list in between: by these no value would ever be reached. */
  private readonly hops = new Map<string, Set<string>>();

  constructor(private readonly root: unknown) {}

  /** The pointer's one spelling, and what it points to. Throws GemletError "bad-request". */
  follow(pointer: unknown, path: string): { name: string; target: unknown } {
    if (typeof pointer !== "string" || !/^#(\/|$)/.test(pointer)) return fail(`${path}.$ref`, `expected a pointer into this schema, such as "#/$defs/name", found ${show(pointer)}`);
    let target: unknown = this.root;
    const parts = pointer.split("/").slice(1).map((part) => decoded(part, `${path}.$ref`));
    for (const part of parts) {
      const holds = (isObject(target) || Array.isArray(target)) && Object.hasOwn(target, part) && part !== "length";
      target = holds ? (target as Record<string, unknown>)[part] : undefined;
    }
    if (target === undefined) fail(`${path}.$ref`, `there is no ${pointer} in this schema`);
    return { name: `#${parts.map((part) => `/${part}`).join("")}`, target };
  }

  add(from: string, to: string): void {
    this.hops.set(from, (this.hops.get(from) ?? new Set()).add(to));
  }

  /** Throws GemletError "bad-request" that names the references which form a ring. */
  checkRings(path: string): void {
    const done = new Set<string>();
    for (const start of this.hops.keys()) {
      /** The way from `start`, with what is left to try from each. */
      const way: { name: string; next: string[] }[] = done.has(start) ? [] : [this.step(start)];
      const names = new Set(way.map(({ name }) => name));
      while (way.length > 0) {
        const { name, next } = way.at(-1)!;
        const to = next.pop();
        if (to === undefined) {
          done.add(name);
          names.delete(name);
          way.pop();
        } else if (names.has(to)) {
          const ring = [...names].slice([...names].indexOf(to));
          fail(path, `the references ${shownRing([...ring, to])} form a ring, with no object or list in between that a value could be`);
        } else if (!done.has(to)) {
          names.add(to);
          way.push(this.step(to));
        }
      }
    }
  }

  private step(name: string): { name: string; next: string[] } {
    return { name, next: [...(this.hops.get(name) ?? [])] };
  }
}

function shownRing(names: readonly string[]): string {
  return names.length <= 8 ? names.join(" -> ") : [...names.slice(0, 4), "…", ...names.slice(-3)].join(" -> ");
}

function decoded(part: string, path: string): string {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return fail(path, `"%" begins no character in ${show(part)}`);
  }
}
