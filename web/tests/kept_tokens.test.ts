import { describe, expect, test } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import { KeptTokens } from "../src/generate/kept_tokens";

const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
/** Rings of 10 slots: a window of 7 and a chunk of 4. */
const kept = (): KeptTokens => new KeptTokens({ facts: { sliding_window: 7 }, prefill: [2, 4] } as unknown as Manifest);

describe("KeptTokens", () => {
  test("shares nothing at first, and the common beginning later, but never the last token", () => {
    const each = kept();
    expect(each.shared([1, 2, 3])).toBe(0);
    each.hold([1, 2, 3, 4], 4);
    expect(each.shared([1, 2, 9, 4])).toBe(2);
    expect(each.shared([1, 2, 3, 4, 5])).toBe(4);
    expect(each.shared([1, 2, 3, 4])).toBe(3);
    expect(each.shared([9, 2, 3])).toBe(0);
  });

  test("shares nothing while an answer is under way, or after one that failed", () => {
    const each = kept();
    each.hold([1, 2, 3], 3);
    each.begin(2);
    expect(each.shared([1, 2, 3, 4])).toBe(0);
  });

  test("shares any beginning as long as no ring has wrapped", () => {
    const each = kept();
    each.hold(numbers(8), 10);
    expect(each.shared([...numbers(3), 99, 98])).toBe(3);
  });

  test("shares no beginning whose window a ring has lost", () => {
    const each = kept();
    each.hold(numbers(28), 30);
    // 30 written: the ring holds 20 ... 29. Token 26 sees 20 ... 26, token 25 would see 19.
    expect(each.shared([...numbers(26), 99])).toBe(26);
    expect(each.shared([...numbers(25), 99])).toBe(0);
  });

  test("remembers what the rings lost when it goes back, until it begins anew", () => {
    const each = kept();
    each.hold(numbers(28), 30);
    each.begin(26);
    each.hold([...numbers(26), 99], 27);
    expect(each.shared([...numbers(25), 98, 97])).toBe(0);
    expect(each.shared([...numbers(26), 98])).toBe(26);
    each.begin(0);
    each.hold(numbers(8), 8);
    expect(each.shared(numbers(6))).toBe(5);
  });
});
