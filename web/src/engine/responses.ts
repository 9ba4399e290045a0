/** Puts what was generated into OpenAI's objects. */

import type { Ending, FinishReason, Outcome } from "../generate/generate";
import type { Delta } from "../text/answer_reader";
import type { CallDelta } from "../text/call_delta";
import type {
  ChatCompletion, ChatCompletionChunk, ChatLogprobs, Completion, CompletionChunk, CompletionLogprobs, Finish, TextFinishReason, TokenLogprob, ToolCall,
  ToolCallDelta, Usage,
} from "./openai";

/** A piece of an answer: text, thoughts and calls, and the tokens drawn since the last piece, with their logprobs where those were asked for. */
export interface Piece extends Delta {
  tokens: number[];
  logprobs: TokenLogprob[];
}

/** What the choices of an answer have beside its text. */
export interface Extras {
  tokenIds: boolean;
  logprobs: boolean;
}

export const noPiece = (): Piece => ({ text: "", thought: "", calls: [], tokens: [], logprobs: [] });

/** Makes the objects of one answer; `Whole` is the complete one, `Chunk` a streamed one. */
export interface Shape<Whole, Chunk> {
  whole(piece: Piece, ending: Ending, usage: Usage): Whole;
  /** Chunks before the first text. */
  begin(): Chunk[];
  /** `ending`: null but in the last one. */
  chunk(piece: Piece, ending: Ending | null): Chunk;
  usage(usage: Usage): Chunk;
}

export function completionShape(model: string, extras: Extras): Shape<Completion, CompletionChunk> {
  const common = { id: newId("cmpl"), object: "text_completion" as const, created: now(), model };
  let offset = 0;
  const logprobsOf = (found: TokenLogprob[]): CompletionLogprobs => ({
    tokens: found.map(({ token }) => token),
    token_logprobs: found.map(({ logprob }) => logprob),
    // Of two tokens of one text the likelier, which comes first, has the name.
    top_logprobs: found.map(({ top_logprobs }) => Object.fromEntries(top_logprobs.toReversed().map(({ token, logprob }) => [token, logprob]))),
    text_offset: found.map(({ token }) => (offset += token.length) - token.length),
  });
  const base = ({ tokens, logprobs }: Piece) => ({
    index: 0 as const,
    logprobs: extras.logprobs ? logprobsOf(logprobs) : null,
    ...(extras.tokenIds && { token_ids: tokens }),
  });
  return {
    whole: (piece, ending, usage) => ({ ...common, choices: [{ ...base(piece), text: piece.text, ...(finish(ending) as Finish<TextFinishReason>) }], usage }),
    begin: () => [],
    chunk: (piece, ending) => ({ ...common, choices: [{ ...base(piece), text: piece.text, ...(ending ? (finish(ending) as Finish<TextFinishReason>) : GOES_ON) }] }),
    usage: (usage) => ({ ...common, choices: [], usage }),
  };
}

export function chatShape(model: string, extras: Extras): Shape<ChatCompletion, ChatCompletionChunk> {
  const id = newId("chatcmpl");
  const created = now();
  const common = { id, object: "chat.completion.chunk" as const, created, model };
  const base = ({ tokens, logprobs: content }: Piece) => {
    const logprobs: ChatLogprobs | null = extras.logprobs ? { content, refusal: null } : null;
    return { index: 0 as const, logprobs, ...(extras.tokenIds && { token_ids: tokens }) };
  };
  return {
    whole: (piece, ending, usage) => {
      const { text, thought } = piece;
      const calls = piece.calls.filter(({ whole }) => whole);
      const message = {
        role: "assistant" as const,
        content: text === "" && calls.length > 0 ? null : text,
        refusal: null,
        ...(thought !== "" && { reasoning_content: thought }),
        ...(calls.length > 0 && { tool_calls: calls.map(toolCall) }),
      };
      return { id, object: "chat.completion", created, model, choices: [{ ...base(piece), message, ...finish(ending) }], usage };
    },
    begin: () => {
      const delta = { role: "assistant" as const, content: "" };
      return [{ ...common, choices: [{ ...base(noPiece()), delta, ...GOES_ON }] }];
    },
    chunk: (piece, ending) => {
      const { text, thought, calls } = piece;
      const delta = {
        ...(text !== "" && { content: text }),
        ...(thought !== "" && { reasoning_content: thought }),
        ...(calls.length > 0 && { tool_calls: calls.map(toolCallDelta) }),
      };
      return { ...common, choices: [{ ...base(piece), delta, ...(ending ? finish(ending) : GOES_ON) }] };
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
    completion_tokens_details: { reasoning_tokens: outcome.thoughtTokens },
    gemlet: {
      prefill_tokens_per_second: outcome.prefillTokensPerSecond,
      decode_tokens_per_second: outcome.decodeTokensPerSecond,
      time_to_first_token_ms: outcome.timeToFirstTokenMs,
    },
  };
}

const GOES_ON = { finish_reason: null };

function finish({ finishReason, aborted }: Ending): Finish<FinishReason> {
  return { finish_reason: finishReason, ...(aborted && { aborted }) };
}

function toolCall({ name, arguments: text }: CallDelta): Required<ToolCall> {
  return { id: newId("call"), type: "function", function: { name: name!, arguments: text } };
}

/** Its first piece has all that a call has. */
function toolCallDelta(call: CallDelta): ToolCallDelta {
  const { index, name, arguments: text } = call;
  return name === undefined ? { index, function: { arguments: text } } : { index, ...toolCall(call) };
}

function newId(prefix: string): string {
  return `${prefix}-${crypto.randomUUID()}`;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
