/** Cuts a prompt into prefill chunks. */

import { GemletError } from "../errors";

export interface Chunk {
  ids: number[];
  /** The step `prefill_size` that runs it. */
  size: number;
}

/**
 * Chunks of at most the largest size, each run by the smallest step that holds it. `lengths` forces the cut.
 * `sizes` ascend. Throws GemletError "bad-request" where the lengths do not add up or one is too large.
 */
export function cutPrompt(ids: readonly number[], sizes: readonly number[], lengths?: readonly number[]): Chunk[] {
  const largest = sizes.at(-1)!;
  const cut = lengths ?? largestLengths(ids.length, largest);
  const sum = cut.reduce((total, length) => total + length, 0);
  if (sum !== ids.length || cut.some((length) => !Number.isInteger(length) || length < 1 || length > largest)) {
    throw new GemletError(
      "bad-request",
      `chunks: expected lengths of 1 to ${largest} that add up to ${ids.length} tokens, found [${cut.join(", ")}]`,
    );
  }
  let start = 0;
  return cut.map((length) => {
    const chunk = ids.slice(start, start + length);
    start += length;
    return { ids: chunk, size: sizes.find((size) => size >= length)! };
  });
}

function largestLengths(length: number, largest: number): number[] {
  const full = new Array<number>(Math.floor(length / largest)).fill(largest);
  return length % largest === 0 ? full : [...full, length % largest];
}
