/** Checks what a caller passes. */

import { isWithoutText, type Manifest, vocabularySize } from "../artifact/manifest";
import { GemletError } from "../errors";
import { GRAMMAR_CHECKS } from "./answer_grammar";
import { type Check, check, fail, fields, isInteger, isObject, isText, jsonObject, show, within } from "./check_fields";
import { CHAT_CHECKS, checkContinuation, MESSAGES_CHECK } from "./check_messages";
import type { GenerateRequest, Logits } from "./core";
import type { ChatParams, CompletionParams, IgnoredParams, SamplingParams } from "./openai";
import { plainCopy } from "./plain_data";

const MAX_STOP_STRINGS = 16;
/** The search for the beginning of one grows with the square. */
const LONGEST_STOP = 1000;
const MOST_TOP_LOGPROBS = 20;
const STREAM_OPTIONS: readonly string[] = ["include_usage", "include_obfuscation"];

const isBoolean = (value: unknown): boolean => typeof value === "boolean";
const isStop = (value: unknown): boolean => isText(value) && value.length <= LONGEST_STOP;
const flag = check("true or false", isBoolean);

const oneAnswer = check(
  "1, since this engine gives one answer to a request; ask again, with another seed, for another",
  (value) => value === 1,
);
const noEcho = check("false: the prompt is not repeated", (value) => value === false);
const count = check("an integer of at least 1", (value) => isInteger(value) && value >= 1);
const penalty = check("a number from -2 to 2", within(-2, 2));
const topLogprobs = check(`an integer from 0 to ${MOST_TOP_LOGPROBS}`, (value) => isInteger(value) && within(0, MOST_TOP_LOGPROBS)(value));

const anyText = check("text", (value) => typeof value === "string");
const IGNORED_CHECKS: Record<keyof IgnoredParams, Check> = {
  user: anyText,
  safety_identifier: anyText,
  store: flag,
  metadata: jsonObject,
  service_tier: anyText,
  prompt_cache_key: anyText,
  prompt_cache_retention: anyText,
  prompt_cache_options: jsonObject,
  prediction: jsonObject,
};

const SAMPLING_CHECKS: Record<keyof SamplingParams, Check> = {
  ...IGNORED_CHECKS,
  max_tokens: count,
  temperature: check("a number of at least 0", within(0, Number.MAX_VALUE)),
  top_k: check("an integer of at least 0", (value) => isInteger(value) && within(0, 2 ** 31 - 1)(value)),
  top_p: check("a number above 0 and at most 1", (value) => within(0, 1)(value) && value !== 0),
  min_p: check("a number from 0 to 1", within(0, 1)),
  seed: check("an integer from 0 to 4294967295", (value) => isInteger(value) && within(0, 2 ** 32 - 1)(value)),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  repetition_penalty: check("a number above 0", (value) => within(0, Number.MAX_VALUE)(value) && value !== 0),
  logit_bias: check(
    "numbers from -100 to 100 by token id",
    (value) => isObject(value) && Object.entries(value).every(([id, bias]) => /^\d+$/.test(id) && within(-100, 100)(bias)),
  ),
  ...GRAMMAR_CHECKS,
  n: oneAnswer,
  stop: check(
    `a string or 1 to ${MAX_STOP_STRINGS} strings, none empty or of more than ${LONGEST_STOP} characters`,
    (value) => isStop(value) || (Array.isArray(value) && value.length > 0 && value.length <= MAX_STOP_STRINGS && value.every(isStop)),
  ),
  overflow: check('"error" or "shift"', (value) => value === "error" || value === "shift"),
  ignore_eos: flag,
  return_token_ids: flag,
  stream: flag,
  stream_options: check(
    "{ include_usage: true or false }",
    (value) =>
      isObject(value) && Object.entries(value).every(([key, item]) => STREAM_OPTIONS.includes(key) && isBoolean(item)),
  ),
  model: check("the loaded model's name", isText),
  signal: check("an AbortSignal", (value) => value instanceof AbortSignal),
};

const PROMPT_CHECK = check("text or token ids", (value) => typeof value === "string" || isTokenList(value));

const completionParams = fields(
  { prompt: PROMPT_CHECK },
  { ...SAMPLING_CHECKS, logprobs: topLogprobs, best_of: oneAnswer, echo: noEcho },
);
const chatParams = fields(
  { messages: MESSAGES_CHECK },
  {
    ...CHAT_CHECKS,
    ...SAMPLING_CHECKS,
    max_completion_tokens: count,
    parallel_tool_calls: flag,
    logprobs: flag,
    top_logprobs: topLogprobs,
  },
);

const numbers = check("a list of integers from 0 on", isTokenList);
const logits = fields({ ids: numbers }, { chunks: numbers, blocks: numbers });
const generation = fields({ kind: check('"chat" or "completion"', (kind) => kind === "chat" || kind === "completion"), params: () => undefined });

/** What arrives in the worker, which takes it from whoever sends. Throws as the next does. */
export function checkLogits(request: unknown): asserts request is Logits {
  logits(request, "");
}

/** As `checkLogits`. */
export function checkGenerate(request: unknown): asserts request is GenerateRequest {
  generation(request, "");
  const { kind, params } = request as GenerateRequest;
  plainCopy(params); // its depth is known then, and nothing else that looks at it can fail
  if (kind === "chat") checkChatParams(params);
  else checkCompletionParams(params);
}

/** Throws GemletError "bad-request" that names the first field that is missing, unknown or wrong. */
export function checkCompletionParams(params: unknown): asserts params is CompletionParams {
  completionParams(params, "");
}

/** Throws GemletError "bad-request" that names the first field that is missing, unknown or wrong. */
export function checkChatParams(params: unknown): asserts params is ChatParams {
  chatParams(params, "");
  const { logprobs, top_logprobs, max_tokens, max_completion_tokens } = params as ChatParams;
  if (top_logprobs !== undefined && !logprobs) fail("top_logprobs", "expected logprobs: true beside it");
  if (max_tokens !== undefined && max_completion_tokens !== undefined) fail("max_completion_tokens", "another name of max_tokens: expected one of them, found both");
  checkContinuation(params as ChatParams);
}

/** Throws GemletError "bad-request" where an id is none of the model's tokens. */
export function checkBias(bias: Readonly<Record<string, number>>, manifest: Manifest): void {
  const vocabulary = vocabularySize(manifest);
  const wrong = Object.keys(bias).find((id) => Number(id) >= vocabulary);
  if (wrong !== undefined) fail(`logit_bias.${wrong}`, `no token; this model has 0 to ${vocabulary - 1}`);
  const silent = Object.keys(bias).find((id) => isWithoutText(manifest, Number(id)));
  if (silent !== undefined) fail(`logit_bias.${silent}`, "no token: the embedding has a row for this id, but the tokenizer no text, so that it is never drawn");
}

/** Throws GemletError "bad-request" unless these are 1 or more ids below `vocabulary`. */
export function checkTokenIds(ids: unknown, vocabulary: number): asserts ids is number[] {
  if (!isTokenList(ids)) throw new GemletError("bad-request", `token ids: expected a list of integers, found ${show(ids)}`);
  if (ids.length === 0) throw new GemletError("bad-request", "token ids: the list is empty; a prompt needs at least one token");
  const wrong = ids.find((id) => id >= vocabulary);
  if (wrong !== undefined) {
    throw new GemletError("bad-request", `token ids: ${wrong} is no token; this model has 0 to ${vocabulary - 1}`);
  }
}

function isTokenList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => isInteger(id) && id >= 0);
}
