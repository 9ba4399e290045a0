/** The shapes of OpenAI's API that the engine takes and gives. */

import type { FinishReason } from "../generate/generate";
import type { Conversation, ToolCall } from "../text/messages";

export type { FinishReason };
export type * from "../text/messages";

/** The same, with null for what may be absent. */
export type OrNull<T> = { [K in keyof T]: Record<never, never> extends Pick<T, K> ? T[K] | null : T[K] };

/** Fields of OpenAI's that are taken and change nothing, since here nothing is kept, shared, priced or sent. */
export interface IgnoredParams {
  user?: string;
  safety_identifier?: string;
  store?: boolean;
  metadata?: Record<string, string>;
  service_tier?: string;
  prompt_cache_key?: string;
  prompt_cache_retention?: string;
  prompt_cache_options?: object;
  /** What the answer will perhaps be, which makes some servers faster. */
  prediction?: object;
}

export interface SamplingParams extends IgnoredParams {
  /** Default: until the model stops or the context is full. */
  max_tokens?: number;
  /** 0 is greedy. Default 1. */
  temperature?: number;
  /** 0 is off, the default. */
  top_k?: number;
  /** 1 is off, the default. */
  top_p?: number;
  /** 0 is off, the default. */
  min_p?: number;
  /** 0 to 2^32 - 1. The same seed, prompt and settings give the same text. Default: a new one each time. */
  seed?: number;
  /** -2 to 2; taken off the logit of each token that is in the answer. Penalties count what the context holds. Default 0. */
  presence_penalty?: number;
  /** -2 to 2; taken off for each time that the token is in the answer. Default 0. */
  frequency_penalty?: number;
  /** Above 0. Divides logits above 0, and multiplies others, of all tokens of prompt and answer. 1 is off, the default. */
  repetition_penalty?: number;
  /** -100 to 100 by token id, added to logits. */
  logit_bias?: Record<string, number>;
  /** What the answer is to be: it cannot become anything else (docs/sampling.md). */
  response_format?: ResponseFormat;
  /** The same as a grammar in EBNF, whose rule `root` is the whole answer. */
  grammar?: string;
  /** The same as a regular expression, which the whole answer matches. */
  regex?: string;
  /** 1: a request has one answer. */
  n?: 1;
  /** Text that ends the answer and is not part of it. */
  stop?: string | string[];
  /**
   * What happens where prompt and answer do not fit the model's context. "error", the default: a prompt that is too long is refused, and an answer ends with
   * finish_reason "length". "shift": the beginning is forgotten. Of a conversation the oldest messages behind the system's, a message of the user's with what
   * followed it at a time; of a text, and of an answer while it is written, all but the first token and the newest half of the context, which is read again.
   * What was forgotten the model does not know, and it takes longer.
   */
  overflow?: "error" | "shift";
  /** Goes on after the model's stop tokens. */
  ignore_eos?: boolean;
  /** Adds `token_ids` to each choice: all that were drawn, a final stop token too. */
  return_token_ids?: boolean;
  stream?: boolean;
  /** `include_obfuscation` changes nothing: no network is between the engine and the page. */
  stream_options?: { include_usage?: boolean; include_obfuscation?: boolean };
  /** Where given, it must be the loaded model's name. */
  model?: string;
  /** Ends the generation: what has come is the answer, and `aborted` is true in its choice. The engine can be used on. */
  signal?: AbortSignal;
}

/** `strict` is taken, and changes nothing: a schema is always enforced. */
export type ResponseFormat =
  | { type: "text" }
  | { type: "json_object" }
  | { type: "json_schema"; json_schema: { name: string; schema: Record<string, unknown>; description?: string; strict?: boolean | null } };

export interface CompletionParams extends SamplingParams {
  /** Text, in which special tokens are recognised and to which the BOS is added, or token ids, which are used as they are. */
  prompt: string | number[];
  /** 1: a request has one answer. */
  best_of?: 1;
  /** False: the prompt is not repeated. */
  echo?: false;
  /** 0 to 20: adds `logprobs`, with so many of the likeliest tokens for each. Such an answer takes longer: each token waits for the one before. */
  logprobs?: number;
}

/** The conversation, as the model's chat template takes it, and how the model may answer: see docs/chat.md. */
export interface ChatParams extends SamplingParams, Conversation {
  /**
   * "auto", the default: the model calls tools where it wants to. "none": it is not shown the tools. "required", or a function: the answer is made to begin with a
   * call of one of the tools, or of that function, without a thought before it.
   */
  tool_choice?: "none" | "auto" | "required" | { type: "function"; function: { name: string } };
  /** "none": the model does not think before it answers. All other values: it does. Default: what the template does. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";
  /** Most tokens of thoughts, which are ended then; the text follows. Default: no limit. */
  thinking_budget?: number;
  /** False: the answer ends behind its first call. Default: the model may call several tools at once. */
  parallel_tool_calls?: boolean;
  /** The answer is text. */
  modalities?: ["text"] | "text"[];
  /** The only one there is: what the model writes is not made shorter or longer. */
  verbosity?: "medium";
  /** Another name of `max_tokens`. */
  max_completion_tokens?: number;
  /** Adds `logprobs` of each token. Such an answer takes longer: each token waits for the one before. */
  logprobs?: boolean;
  /** 0 to 20 of the likeliest tokens for each; wants `logprobs`. */
  top_logprobs?: number;
}

/** `logprob`: by the model's own logits, before temperature, penalties and all else. `bytes`: of UTF-8, a part of a character perhaps. */
export interface TopLogprob {
  token: string;
  logprob: number;
  bytes: number[];
}

/** A final stop token has none. */
export interface TokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}

export interface ChatLogprobs {
  content: TokenLogprob[];
  refusal: null;
}

/** One list item a token. `text_offset`: where it begins in the answer, in UTF-16 units of the tokens before it. */
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens`: of the prompt's, those that the engine still held from an earlier request and did not compute. */
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
  gemlet: { prefill_tokens_per_second: number; decode_tokens_per_second: number; time_to_first_token_ms: number };
}

interface Common {
  id: string;
  created: number;
  model: string;
}

interface Choice<Logprobs> {
  index: 0;
  logprobs: Logprobs | null;
  token_ids?: number[];
}

/** How a choice ends. */
export interface Finish<Reason> {
  finish_reason: Reason;
  /** The caller's signal ended it; `finish_reason` is "stop" then, since OpenAI's API has no other for that. */
  aborted?: true;
}

/** Calls are read out of chats alone. */
export type TextFinishReason = Exclude<FinishReason, "tool_calls">;

export interface Completion extends Common {
  object: "text_completion";
  choices: (Choice<CompletionLogprobs> & Finish<TextFinishReason> & { text: string })[];
  usage: Usage;
}

/** `choices` is empty in the last chunk of a stream with `include_usage`, which carries the usage. */
export interface CompletionChunk extends Common {
  object: "text_completion";
  choices: (Choice<CompletionLogprobs> & Finish<TextFinishReason | null> & { text: string })[];
  usage?: Usage | null;
}

/** An answer; it can be appended to the messages of the next request as it is. */
export interface AnswerMessage {
  role: "assistant";
  /** Null where there are only calls. */
  content: string | null;
  refusal: null;
  /** Absent where the model did not think. */
  reasoning_content?: string;
  /** Absent where the model called nothing. */
  tool_calls?: Required<ToolCall>[];
}

/**
 * A piece of a call. The first has all fields, those that follow add to `arguments`. They are JSON when the call is whole, and not before: one that breaks off
 * never is, and comes as `content`, too.
 */
export interface ToolCallDelta extends Pick<ToolCall, "id"> {
  /** The call's place among those of the answer. */
  index: number;
  type?: "function";
  function: { name?: string; arguments: string };
}

/** What a chunk adds to the message. */
export interface AnswerDelta {
  role?: "assistant";
  content?: string;
  reasoning_content?: string;
  tool_calls?: ToolCallDelta[];
}

export interface ChatCompletion extends Common {
  object: "chat.completion";
  choices: (Choice<ChatLogprobs> & Finish<FinishReason> & { message: AnswerMessage })[];
  usage: Usage;
}

export interface ChatCompletionChunk extends Common {
  object: "chat.completion.chunk";
  choices: (Choice<ChatLogprobs> & Finish<FinishReason | null> & { delta: AnswerDelta })[];
  usage?: Usage | null;
}
