/** Puts what was generated into OpenAI's objects. */

import type { FinishReason, Outcome } from "../generate/generate";
import type { ChatCompletion, ChatCompletionChunk, Completion, CompletionChunk, Usage } from "./openai";

/** A piece of an answer: text, and the tokens drawn since the last piece. */
export interface Piece {
  text: string;
  tokens: number[];
}

/** Makes the objects of one answer; `Whole` is the complete one, `Chunk` a streamed one. */
export interface Shape<Whole, Chunk> {
  whole(piece: Piece, finishReason: FinishReason, usage: Usage): Whole;
  /** Chunks before the first text. */
  begin(): Chunk[];
  chunk(piece: Piece, finishReason: FinishReason | null): Chunk;
  usage(usage: Usage): Chunk;
}

export function completionShape(model: string, withTokenIds: boolean): Shape<Completion, CompletionChunk> {
  const common = { id: newId("cmpl"), object: "text_completion" as const, created: now(), model };
  const base = ({ tokens }: Piece) => ({ index: 0 as const, logprobs: null, ...(withTokenIds && { token_ids: tokens }) });
  return {
    whole: (piece, finish_reason, usage) => ({
      ...common,
      choices: [{ ...base(piece), text: piece.text, finish_reason }],
      usage,
    }),
    begin: () => [],
    chunk: (piece, finish_reason) => ({ ...common, choices: [{ ...base(piece), text: piece.text, finish_reason }] }),
    usage: (usage) => ({ ...common, choices: [], usage }),
  };
}

export function chatShape(model: string, withTokenIds: boolean): Shape<ChatCompletion, ChatCompletionChunk> {
  const id = newId("chatcmpl");
  const created = now();
  const common = { id, object: "chat.completion.chunk" as const, created, model };
  const base = ({ tokens }: Piece) => ({ index: 0 as const, logprobs: null, ...(withTokenIds && { token_ids: tokens }) });
  return {
    whole: (piece, finish_reason, usage) => {
      const message = { role: "assistant" as const, content: piece.text, refusal: null };
      return { id, object: "chat.completion", created, model, choices: [{ ...base(piece), message, finish_reason }], usage };
    },
    begin: () => {
      const delta = { role: "assistant" as const, content: "" };
      return [{ ...common, choices: [{ ...base({ text: "", tokens: [] }), delta, finish_reason: null }] }];
    },
    chunk: (piece, finish_reason) => {
      const delta = piece.text === "" ? {} : { content: piece.text };
      return { ...common, choices: [{ ...base(piece), delta, finish_reason }] };
    },
    usage: (usage) => ({ ...common, choices: [], usage }),
  };
}

export function usageOf(promptTokens: number, outcome: Outcome): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: outcome.completionTokens,
    total_tokens: promptTokens + outcome.completionTokens,
    prompt_tokens_details: { cached_tokens: outcome.cachedTokens },
    gemlet: {
      prefill_tokens_per_second: outcome.prefillTokensPerSecond,
      decode_tokens_per_second: outcome.decodeTokensPerSecond,
      time_to_first_token_ms: outcome.timeToFirstTokenMs,
    },
  };
}

function newId(prefix: string): string {
  return `${prefix}-${crypto.randomUUID()}`;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
