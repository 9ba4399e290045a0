/** The generation loop: prompt in, tokens and certain text out. */

import type { Backend, Drawn, DrawRequest } from "../backend/backend";
import { type AnswerFormat, PLAIN } from "../text/answer_format";
import { AnswerReader, type Delta, NOTHING } from "../text/answer_reader";
import { type Drawing, drawTokens } from "./draw";
import type { Conversations } from "./conversations";
import { type Overflow, shifted } from "./overflow";

/**
 * Steps that may be under way at once, so that the GPU has work while the CPU looks at what came out. A stop is seen when its token arrives:
 * up to one step less than this has been queued behind it by then, and runs for nothing.
 */
export const STEPS_IN_FLIGHT = 4;

/** What the draw of the next token is asked for: `context` ends with what it holds of `answer`, the tokens drawn so far. */
export type RequestDraw = (context: readonly number[], answer: readonly number[]) => Promise<DrawRequest>;

export interface Generation extends Omit<Drawing, "request"> {
  /** Null: nothing but what `sampling` says. */
  requestDraw: RequestDraw | null;
  ids: readonly number[];
  maxTokens: number;
  /** Most tokens of prompt and answer together. */
  context: number;
  overflow: Overflow;
  /** What the KV caches held before. */
  conversations: Conversations;
  stopStrings: readonly string[];
  /** Default: all text is text. */
  format?: AnswerFormat;
}

/** The backend that answers, and what takes its place where it fails. */
export interface Backends {
  current(): Promise<Backend>;
  /** Throws `cause`, or what came of it, where nothing can take its place. */
  replace(failed: Backend, cause: unknown): Promise<Backend>;
}

export type FinishReason = "stop" | "length" | "tool_calls";

/** How an answer ended. `aborted`: by the caller's signal; the reason is "stop" then, since OpenAI's shapes know none for it. */
export interface Ending {
  finishReason: FinishReason;
  aborted: boolean;
}

export interface Outcome extends Ending {
  completionTokens: number;
  /** Of these, those of thoughts. */
  thoughtTokens: number;
  /** Of the prompt's tokens, those that were not computed, since the KV caches held them from an earlier request. */
  cachedTokens: number;
  timeToFirstTokenMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

/**
 * Called for every token that counts, with what it makes certain, and with the logits that it was drawn from, where they were asked for and it is no stop token.
 * The last call may have the former alone: what was held back, or the text of half a call, whatever ended the answer.
 */
export type OnToken = (token: number | null, delta: Delta, logits?: Float32Array) => void;

/**
 * Generates an answer. Where the context is full it ends or, with `overflow: "shift"`, goes on behind the newest half of it. Where a backend fails and another
 * takes its place, that one reads the prompt and what has been drawn so far, and the answer goes on: which token is drawn follows from seed and position.
 * Whatever ends it, nothing is left under way in a backend.
 * Throws GemletError "device-lost" or "gpu-error".
 */
export async function generate(
  backends: Backends,
  decode: (ids: readonly number[]) => string,
  generation: Generation,
  onToken: OnToken,
): Promise<Outcome> {
  const { maxTokens, context, signal, requestDraw, format = PLAIN } = generation;
  const reader = new AnswerReader(decode, generation.stopStrings, format);
  const tokens: number[] = [];
  let ids = [...generation.ids];
  /** Tokens that come next, whatever the model would draw. */
  let forced = reader.first;
  let drawnTokens = 0;
  let cachedTokens: number | undefined;
  const started = performance.now();
  let firstAt = started;
  let newestAt = started;
  let finishReason: FinishReason | undefined;

  const request = requestDraw && (() => requestDraw(ids, tokens));
  const add = (token: number, finished: boolean, logits?: Float32Array): void => {
    tokens.push(token);
    ids.push(token);
    // The text of a stop token is not part of the answer.
    const { delta, stopped, next } = finished ? NOTHING : reader.push(token);
    forced = next;
    onToken(token, delta, finished ? undefined : logits);
    if (finished || stopped) finishReason = "stop";
    else if (tokens.length === maxTokens || (ids.length === context && generation.overflow === "error")) finishReason = "length";
    if (finishReason && !stopped) {
      const rest = reader.end(finished);
      if (rest.stopped) finishReason = "stop";
      onToken(null, rest.delta);
    }
  };
  const addForced = (): void => {
    const due = forced;
    for (const token of due) if (!finishReason) add(token, false);
  };
  const take = ({ token, finished, logits }: Drawn): void => {
    newestAt = performance.now();
    if (drawnTokens === 0) firstAt = newestAt;
    drawnTokens += 1;
    add(token, finished, logits);
  };
  let backend = await unlessAborted(backends.current(), signal);
  while (backend) {
    addForced();
    if (finishReason) break;
    if (ids.length >= context) ids = shifted(ids, context);
    try {
      if (cachedTokens === undefined) await generation.conversations.bring(backend, ids);
      cachedTokens ??= backend.kept.shared(ids);
      const most = Math.min(maxTokens - tokens.length, context - ids.length);
      for await (const drawn of drawTokens(backend, [...ids], most, { ...generation, request })) {
        take(drawn);
        if (finishReason || forced.length > 0) break;
      }
      if (finishReason || signal.aborted) break;
    } catch (cause) {
      backend = await unlessAborted(backends.replace(backend, cause), signal);
    }
  }
  if (!finishReason) onToken(null, reader.end().delta);
  const computed = generation.ids.length - (cachedTokens ?? 0);
  return {
    finishReason: finishReason === "stop" && reader.callCount > 0 ? "tool_calls" : (finishReason ?? "stop"),
    aborted: finishReason === undefined,
    completionTokens: tokens.length,
    thoughtTokens: reader.thoughtTokens,
    cachedTokens: cachedTokens ?? 0,
    timeToFirstTokenMs: firstAt - started,
    prefillTokensPerSecond: perSecond(drawnTokens > 0 ? computed : 0, firstAt - started),
    decodeTokensPerSecond: perSecond(Math.max(0, drawnTokens - 1), newestAt - firstAt),
  };
}

/** What the promise gives; undefined once the signal fires, which does not wait for it. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(undefined);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function perSecond(count: number, milliseconds: number): number {
  return count === 0 || milliseconds === 0 ? 0 : (1000 * count) / milliseconds;
}
