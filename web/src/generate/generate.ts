/** The generation loop: prompt in, tokens and certain text out. */

import type { Backend, Drawn, Sampling } from "../backend/backend";
import { Detokenizer } from "../text/detokenizer";
import { StopStrings } from "../text/stop_strings";
import { type Chunk, cutPrompt } from "./chunks";

/**
 * Steps that may be under way at once, so that the GPU has work while the CPU looks at what came out. A stop is seen when its token arrives:
 * up to one step less than this has been queued behind it by then, and runs for nothing.
 */
export const STEPS_IN_FLIGHT = 4;

/** Fewer, since a chunk takes longer than a token, and an abort waits for them. */
const CHUNKS_IN_FLIGHT = 2;

export interface Generation {
  ids: readonly number[];
  sampling: Sampling;
  maxTokens: number;
  stopStrings: readonly string[];
  signal: AbortSignal;
  /** At least 1, where each step waits until the token before it is known. */
  stepsInFlight: number;
}

export type FinishReason = "stop" | "length" | "abort";

export interface Outcome {
  finishReason: FinishReason;
  completionTokens: number;
  timeToFirstTokenMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

/** Called for every token that counts, with the text that it makes certain. The last call may have text alone. */
export type OnToken = (token: number | null, text: string) => void;

/**
 * Generates from an empty KV cache. `prefillSizes` ascend. Whatever ends it, nothing is left under way in the backend.
 * Throws GemletError "device-lost" or "gpu-error".
 */
export async function generate(
  backend: Backend,
  prefillSizes: readonly number[],
  decode: (ids: readonly number[]) => string,
  generation: Generation,
  onToken: OnToken,
): Promise<Outcome> {
  const { ids, maxTokens, signal, stepsInFlight } = generation;
  const detokenizer = new Detokenizer(decode);
  const stops = new StopStrings(generation.stopStrings);
  const flight: Promise<Drawn>[] = [];
  const started = performance.now();
  let firstAt = started;
  let newestAt = started;
  let queued = 0;
  let count = 0;
  let finishReason: FinishReason | undefined;

  const queue = (step: Promise<Drawn>): void => {
    step.catch(() => undefined); // it is awaited later, or not at all
    flight.push(step);
    queued += 1;
  };
  backend.start(generation.sampling);
  await prefill(backend, cutPrompt(ids, prefillSizes), signal);
  if (signal.aborted) finishReason = "abort";
  else queue(backend.sample());
  while (!finishReason) {
    while (flight.length < stepsInFlight && queued < maxTokens) queue(backend.decode());
    const { token, finished } = await flight.shift()!;
    if (signal.aborted) {
      finishReason = "abort";
      break;
    }
    newestAt = performance.now();
    if (count === 0) firstAt = newestAt;
    count += 1;
    // The text of a stop token is not part of the answer.
    const { text, stopped } = finished ? { text: "", stopped: false } : stops.push(detokenizer.push(token));
    onToken(token, text);
    if (finished || stopped) finishReason = "stop";
    else if (count === maxTokens) finishReason = "length";
    if (finishReason && !stopped) {
      const rest = stops.push(detokenizer.end());
      if (rest.stopped) finishReason = "stop";
      onToken(null, rest.text + stops.end());
    }
  }
  await Promise.all(flight);
  return {
    finishReason,
    completionTokens: count,
    timeToFirstTokenMs: firstAt - started,
    prefillTokensPerSecond: perSecond(count > 0 ? ids.length : 0, firstAt - started),
    decodeTokensPerSecond: perSecond(Math.max(0, count - 1), newestAt - firstAt),
  };
}

/** Returns early, between two chunks, where the signal fires. */
async function prefill(backend: Backend, chunks: readonly Chunk[], signal: AbortSignal): Promise<void> {
  const flight: Promise<void>[] = [];
  for (const chunk of chunks) {
    if (flight.length === CHUNKS_IN_FLIGHT) await flight.shift();
    if (signal.aborted) break;
    flight.push(backend.prefill(chunk));
  }
}

function perSecond(count: number, milliseconds: number): number {
  return count === 0 || milliseconds === 0 ? 0 : (1000 * count) / milliseconds;
}
