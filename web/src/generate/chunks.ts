/** Cuts a prompt into prefill chunks. */

import { GemletError } from "../errors";

export interface Chunk {
  ids: number[];
  /** For each id 0, or the number of the image it belongs to. */
  blocks: number[];
  /** The step `prefill_size` that runs it. */
  size: number;
}

/**
 * Chunks of at most the largest size, each run by the smallest step that holds it. `lengths` forces the cut. An image
 * (equal `blocks` above 0) stays in one chunk, since its tokens see each other. `sizes` ascend.
 *
 * Throws GemletError "bad-request" where the lengths do not add up, one is too large, or an image would be cut.
 */
export function cutPrompt(
  ids: readonly number[],
  sizes: readonly number[],
  lengths?: readonly number[],
  blocks: readonly number[] = new Array<number>(ids.length).fill(0),
): Chunk[] {
  const largest = sizes.at(-1)!;
  if (blocks.length !== ids.length) {
    throw new GemletError("bad-request", `blocks: expected one number for each of ${ids.length} tokens, found ${blocks.length}`);
  }
  const cut = lengths ?? largestLengths(blocks, largest);
  const sum = cut.reduce((total, length) => total + length, 0);
  if (sum !== ids.length || cut.some((length) => !Number.isInteger(length) || length < 1 || length > largest)) {
    throw new GemletError(
      "bad-request",
      `chunks: expected lengths of 1 to ${largest} that add up to ${ids.length} tokens, found [${cut.join(", ")}]`,
    );
  }
  let start = 0;
  return cut.map((length) => {
    const end = start + length;
    if (cutsImage(blocks, end)) {
      throw new GemletError("bad-request", `chunks: the image of block ${blocks[end]} would be cut at token ${end}; a chunk holds ${largest} tokens`);
    }
    const chunk = { ids: ids.slice(start, end), blocks: blocks.slice(start, end), size: sizes.find((size) => size >= length)! };
    start = end;
    return chunk;
  });
}

/** Whether a cut before token `at` would part an image. */
function cutsImage(blocks: readonly number[], at: number): boolean {
  return at < blocks.length && blocks[at]! > 0 && blocks[at] === blocks[at - 1];
}

/** The largest chunks that part no image, as far as that can be had. */
function largestLengths(blocks: readonly number[], largest: number): number[] {
  const lengths = [];
  for (let start = 0; start < blocks.length; ) {
    const furthest = Math.min(start + largest, blocks.length);
    let end = furthest;
    while (end > start && cutsImage(blocks, end)) end--;
    if (end === start) end = furthest;
    lengths.push(end - start);
    start = end;
  }
  return lengths;
}
