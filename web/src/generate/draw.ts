/** Draws token after token from a backend, several under way at once where it allows that. */

import type { Backend, Drawn, Sampling } from "../backend/backend";
import { type Chunk, cutPrompt } from "./chunks";

/** Fewer than steps, since a chunk takes longer than a token, and an abort waits for them. */
const CHUNKS_IN_FLIGHT = 2;

export interface Drawing {
  sampling: Sampling;
  signal: AbortSignal;
  /** At least 1, where each step waits until the token before it is known. */
  stepsInFlight: number;
}

/**
 * The tokens after `ids`, from an empty KV cache, at most `most`. It ends early where the signal fires. Whatever ends it, also the reader's leaving, nothing
 * is left under way in the backend then. Throws what the backend throws.
 */
export async function* drawTokens(backend: Backend, ids: readonly number[], most: number, drawing: Drawing): AsyncGenerator<Drawn, void, void> {
  const { sampling, signal } = drawing;
  const stepsInFlight = Math.min(drawing.stepsInFlight, backend.mostInFlight);
  const flight: Promise<Drawn>[] = [];
  let queued = 0;
  const queue = (step: Promise<Drawn>): void => {
    step.catch(() => undefined); // it is awaited later, or not at all
    flight.push(step);
    queued += 1;
  };
  backend.start(sampling);
  await prefill(backend, cutPrompt(ids, backend.prefillSizes), signal);
  if (signal.aborted) return;
  queue(backend.sample());
  try {
    for (let given = 0; given < most; given++) {
      while (flight.length < stepsInFlight && queued < most) queue(backend.decode());
      const drawn = await flight.shift()!;
      if (signal.aborted) return;
      yield drawn;
    }
  } finally {
    await Promise.allSettled(flight);
  }
}

/** Returns early, between two chunks, where the signal fires. */
async function prefill(backend: Backend, chunks: readonly Chunk[], signal: AbortSignal): Promise<void> {
  const most = Math.min(CHUNKS_IN_FLIGHT, backend.mostInFlight);
  const flight: Promise<void>[] = [];
  for (const chunk of chunks) {
    if (signal.aborted) return;
    flight.push(backend.prefill(chunk));
    if (flight.length === most) await flight.shift();
  }
}
