import { describe, expect, test } from "vitest";
import { adjustmentOf, type Penalties } from "../src/generate/adjustment";
import { logprobsOf } from "../src/generate/logprobs";

const NONE: Penalties = { presence: 0, frequency: 0, repetition: 1, bias: new Map() };

/** [token, factor, term] of each entry. */
function entries(change: Partial<Penalties>, context: number[], answered: number): number[][] {
  const { words } = adjustmentOf({ ...NONE, ...change }, context, answered, null);
  const floats = new Float32Array(words.buffer);
  expect([words.length, words[1]]).toEqual([2 + 3 * words[0]!, 0]);
  return Array.from({ length: words[0]! }, (_, i) => [words[2 + 3 * i]!, floats[3 + 3 * i]!, floats[4 + 3 * i]!]);
}

describe("adjustmentOf", () => {
  test("takes presence off once, and frequency as often as a token is there, in the answer alone", () => {
    const context = [5, 6, 7, 5, 7, 7];
    expect(entries({ presence: 1 }, context, 4)).toEqual([[7, 1, -1], [5, 1, -1]]);
    expect(entries({ frequency: 0.5 }, context, 4)).toEqual([[7, 1, -1.5], [5, 1, -0.5]]);
    expect(entries({ presence: -1, frequency: 0.5, bias: new Map([[7, 10], [9, 2]]) }, context, 4)).toEqual([[7, 1, 9.5], [9, 1, 2], [5, 1, 0.5]]);
    expect(entries({ presence: 1 }, context, 0)).toEqual([]);
  });

  test("repeats over prompt and answer, each token once", () => {
    expect(entries({ repetition: 1.5, bias: new Map([[9, 2], [6, 1]]) }, [5, 6, 5], 1)).toEqual([[5, 1.5, 0], [6, 1.5, 1], [9, 1, 2]]);
  });

  test("says whether there is a mask", () => {
    const mask = Int32Array.of(3);
    expect(adjustmentOf(NONE, [1], 0, mask)).toEqual({ words: Int32Array.of(0, 1), mask });
  });
});

describe("logprobsOf", () => {
  const logits = Float32Array.from([1, 3, -200, 3, 2, 500]);
  const softmax = (id: number) => logits[id]! - (500 + Math.log([...logits].reduce((sum, logit) => sum + Math.exp(logit - 500), 0)));

  test("gives the token's own and the likeliest, of equal ones the lower id first", () => {
    const { chosen, top } = logprobsOf(logits, 2, 4);
    expect(chosen).toEqual({ token: 2, logprob: softmax(2) });
    expect(top.map(({ token }) => token)).toEqual([5, 1, 3, 4]);
    for (const { token, logprob } of top) expect(logprob).toBeCloseTo(softmax(token), 10);
  });

  test("gives none beside where none are asked for, and no more than there are", () => {
    expect(logprobsOf(logits, 0, 0).top).toEqual([]);
    expect(logprobsOf(logits, 0, 20, [[0, 2], [4, 5]]).top.map(({ token }) => token)).toEqual([5, 3, 2]);
    expect(logprobsOf(logits, 3, 1, [[5, 6]])).toEqual({ ...logprobsOf(logits, 3, 2), top: logprobsOf(logits, 3, 2).top.slice(1) });
    expect(logprobsOf(logits, 0, 20).top.map(({ token }) => token)).toEqual([5, 1, 3, 4, 0, 2]);
  });
});
