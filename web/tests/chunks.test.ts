import { describe, expect, test } from "vitest";
import { cutPrompt } from "../src/generate/chunks";

const ids = (count: number) => Array.from({ length: count }, (_, i) => i);
const sizes = [4, 8];

describe("cutPrompt", () => {
  test("takes the largest chunks, the rest by the smallest step that holds it", () => {
    expect(cutPrompt(ids(11), sizes).map(({ ids, size }) => [ids.length, size])).toEqual([[8, 8], [3, 4]]);
  });

  test("does not part an image", () => {
    const blocks = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
    expect(cutPrompt(ids(12), sizes, undefined, blocks).map((chunk) => chunk.blocks)).toEqual([
      [0, 0, 0, 0, 0, 0],
      [1, 1, 1, 2, 2, 2],
    ]);
  });

  test("refuses an image that no chunk holds, and a cut through one", () => {
    expect(() => cutPrompt(ids(10), sizes, undefined, new Array<number>(10).fill(1))).toThrow(/image of block 1 would be cut at token 8/);
    expect(() => cutPrompt(ids(4), sizes, [2, 2], [0, 3, 3, 0])).toThrow(/image of block 3/);
  });

  test("refuses blocks of another length than the prompt", () => {
    expect(() => cutPrompt(ids(3), sizes, undefined, [0])).toThrow(/one number for each of 3 tokens, found 1/);
  });
});
