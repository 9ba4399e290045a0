/** Halts the steps of a prompt at the end of each layer, to look at what it leaves. */

import type { LayerEnd } from "../artifact/manifest";
import { type Chunk, cutPrompt } from "../generate/chunks";

export interface LayerWalk<End extends LayerEnd> {
  /** Runs a chunk whole. */
  prefill(chunk: Chunk): Promise<void>;
  /** Makes a chunk's ids the state's, and runs nothing. */
  begin(chunk: Chunk): void;
  /** Runs the launches first … last - 1 of a step; `last` undefined: to its end. */
  run(step: string, first: number, last?: number): void;
  /** The hidden state in a row of where the layer's result lies. */
  read(end: End, row: number): Promise<Float32Array<ArrayBuffer>>;
}

const CHUNK = "prefill_";

/** What each layer leaves of the last of `ids`; null where it cannot be seen. `sizes`: of chunks. */
export async function walkLayers<End extends LayerEnd>(
  ends: readonly (End | null)[],
  ids: readonly number[],
  sizes: readonly number[],
  walk: LayerWalk<End>,
): Promise<(Float32Array<ArrayBuffer> | null)[]> {
  const first = ends.find((end) => end?.step.startsWith(CHUNK))?.step ?? `${CHUNK}${sizes.at(-1)}`;
  const chunks = cutPrompt(ids, [Number(first.slice(CHUNK.length))]);
  for (const chunk of chunks.slice(0, -1)) await walk.prefill(chunk);
  const last = chunks.at(-1)!;
  walk.begin(last);
  const found: (Float32Array<ArrayBuffer> | null)[] = [];
  let at = { step: first, done: 0 };
  for (const end of ends) {
    if (end === null) {
      found.push(null);
      continue;
    }
    if (end.step !== at.step) {
      walk.run(at.step, at.done);
      at = { step: end.step, done: 0 };
    }
    walk.run(at.step, at.done, end.launches);
    at.done = end.launches;
    found.push(await walk.read(end, end.step.startsWith(CHUNK) ? last.ids.length - 1 : 0));
  }
  return found;
}
