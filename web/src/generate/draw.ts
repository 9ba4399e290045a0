/** Draws token after token from a backend, several under way at once where it allows that. */

import type { Backend, Drawn, DrawRequest, Sampling } from "../backend/backend";
import { type Chunk, cutPrompt } from "./chunks";

/** Fewer than steps, since a chunk takes longer than a token, and an abort waits for them. */
const CHUNKS_IN_FLIGHT = 2;

export interface Drawing {
  sampling: Sampling;
  signal: AbortSignal;
  /** At least 1, where each step waits until the token before it is known. */
  stepsInFlight: number;
  /** What the next draw is asked for, called when all tokens before it have been taken, so that one step alone is under way; null: nothing. */
  request: (() => Promise<DrawRequest>) | null;
}

/**
 * The tokens after `ids`, at most `most`. What the KV caches hold of them is not computed again. It ends early where the signal fires. Whatever ends it, also
 * the reader's leaving, nothing is left under way in the backend then. Throws what the backend throws.
 */
export async function* drawTokens(backend: Backend, ids: readonly number[], most: number, drawing: Drawing): AsyncGenerator<Drawn, void, void> {
  const { sampling, signal, request } = drawing;
  const stepsInFlight = request ? 1 : Math.min(drawing.stepsInFlight, backend.mostInFlight);
  const { kept } = backend;
  const flight: Promise<Drawn>[] = [];
  const tokens = [...ids];
  let queued = 0;
  let failed = false;
  const queue = (step: Promise<Drawn>): void => {
    step.catch(() => (failed = true)); // it is awaited later, or not at all
    flight.push(step);
    queued += 1;
  };
  const start = kept.shared(ids);
  backend.start(sampling, start);
  kept.begin(start);
  const end = start + (await prefill(backend, cutPrompt(ids.slice(start), backend.prefillSizes), signal));
  if (signal.aborted) return kept.hold(ids.slice(0, end), end);
  try {
    queue(backend.sample(await request?.()));
    for (let given = 0; given < most; given++) {
      while (flight.length < stepsInFlight && queued < most) queue(backend.decode(await request?.()));
      const drawn = await flight.shift()!;
      tokens.push(drawn.token);
      if (signal.aborted) return;
      yield drawn;
    }
  } finally {
    await Promise.allSettled(flight);
    // All draws but the first wrote the token before theirs. A backend that failed holds nothing that can be relied on.
    const written = ids.length + queued - 1;
    if (!failed) kept.hold(tokens.slice(0, written), written);
  }
}

/** Resolves with the number of tokens that were read, early, between two chunks, where the signal fires. */
async function prefill(backend: Backend, chunks: readonly Chunk[], signal: AbortSignal): Promise<number> {
  const most = Math.min(CHUNKS_IN_FLIGHT, backend.mostInFlight);
  const flight: Promise<void>[] = [];
  let read = 0;
  for (const chunk of chunks) {
    if (signal.aborted) break;
    flight.push(backend.prefill(chunk));
    read += chunk.ids.length;
    if (flight.length === most) await flight.shift();
  }
  return read;
}
