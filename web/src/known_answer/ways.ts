/** The ways to the known answer: together they take every step that an answer takes, and every size of chunk. */

import type { KnownAnswer, Manifest } from "../artifact/manifest";
import { canAdjust, vocabularySize } from "../artifact/manifest";
import type { Adjustment, Backend } from "../backend/backend";
import { GREEDY } from "../backend/sampling";
import { type Chunk, cutPrompt } from "../generate/chunks";

/** Tokens at the end of the prompt that are decoded one by one. */
const DECODED = 4;

export interface Way {
  name: string;
  /** Logits of the prompt's last token. Nothing that the caches held before is there after it. */
  run(backend: Backend): Promise<Float32Array<ArrayBuffer>>;
}

/** By each size of chunk but the smallest the whole prompt; by the smallest the most of it, and the rest token by token. */
export function waysTo({ ids }: KnownAnswer, manifest: Manifest, sizes: readonly number[]): Way[] {
  const whole = (size: number): Way => ({ name: `chunks of ${size}`, run: (backend) => inChunks(backend, ids, size) });
  const decoded = Math.min(DECODED, ids.length - 1);
  if (decoded < 1 || !canAdjust(manifest)) return sizes.map(whole);
  const [smallest, ...others] = sizes as [number, ...number[]];
  const vocabulary = vocabularySize(manifest);
  const partly = { name: `chunks of ${smallest}, then single tokens`, run: (backend: Backend) => tokenByToken(backend, ids, decoded, smallest, vocabulary) };
  return [...(others.length > 0 ? others : sizes).map(whole), partly];
}

async function inChunks(backend: Backend, ids: readonly number[], size: number): Promise<Float32Array<ArrayBuffer>> {
  await prefill(backend, ids, size);
  return backend.logits();
}

async function tokenByToken(backend: Backend, ids: readonly number[], decoded: number, size: number, vocabulary: number): Promise<Float32Array<ArrayBuffer>> {
  const start = ids.length - decoded;
  await prefill(backend, ids.slice(0, start), size);
  // What is drawn is the prompt's next token, since no other is allowed.
  let step = backend.sample({ adjustment: only(ids[start]!, vocabulary), logits: false });
  for (const id of ids.slice(start + 1)) {
    await step;
    step = backend.decode({ adjustment: only(id, vocabulary), logits: false });
  }
  await step;
  return (await backend.decode({ adjustment: null, logits: true })).logits!;
}

async function prefill(backend: Backend, ids: readonly number[], size: number): Promise<void> {
  backend.start(GREEDY, 0);
  backend.kept.begin(0);
  for (const chunk of chunksOf(ids, size)) await backend.prefill(chunk);
}

function chunksOf(ids: readonly number[], size: number): Chunk[] {
  return cutPrompt(ids, [size]);
}

/** Allows one token alone. */
function only(id: number, vocabulary: number): Adjustment {
  const mask = new Int32Array(Math.ceil(vocabulary / 32));
  mask[id >>> 5] = 1 << (id & 31);
  return { words: Int32Array.of(0, 1), mask };
}
