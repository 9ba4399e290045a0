/** Checks what a caller passes, field by field. What is not known is an error: silence would hide it. */

import { GemletError } from "../errors";
import type { ChatMessage } from "../text/chat";
import type { ChatParams, CompletionParams, SamplingParams } from "./openai";

const MAX_STOP_STRINGS = 16;

type Rule = [expected: string, holds: (value: unknown) => boolean];

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isInteger = (value: unknown): value is number => Number.isInteger(value);
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const isBoolean = (value: unknown): boolean => typeof value === "boolean";
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const within = (low: number, high: number) => (value: unknown) => isNumber(value) && value >= low && value <= high;

const SAMPLING_RULES: Record<keyof SamplingParams, Rule> = {
  max_tokens: ["an integer of at least 1", (value) => isInteger(value) && value >= 1],
  temperature: ["a number of at least 0", within(0, Number.MAX_VALUE)],
  top_k: ["an integer of at least 0", (value) => isInteger(value) && within(0, 2 ** 31 - 1)(value)],
  top_p: ["a number above 0 and at most 1", (value) => within(0, 1)(value) && value !== 0],
  min_p: ["a number from 0 to 1", within(0, 1)],
  seed: ["an integer from 0 to 4294967295", (value) => isInteger(value) && within(0, 2 ** 32 - 1)(value)],
  stop: [
    `a string or 1 to ${MAX_STOP_STRINGS} strings, none empty`,
    (value) =>
      isText(value) || (Array.isArray(value) && value.length > 0 && value.length <= MAX_STOP_STRINGS && value.every(isText)),
  ],
  ignore_eos: ["true or false", isBoolean],
  return_token_ids: ["true or false", isBoolean],
  stream: ["true or false", isBoolean],
  stream_options: [
    "{ include_usage: true or false }",
    (value) => isObject(value) && Object.keys(value).every((key) => key === "include_usage" && isBoolean(value[key])),
  ],
  model: ["the loaded model's name", isText],
  signal: ["an AbortSignal", (value) => value instanceof AbortSignal],
};

const PROMPT_RULE: Rule = ["text or token ids", (value) => typeof value === "string" || isTokenList(value)];
const MESSAGES_RULE: Rule = [
  'a list of { role: "system", "user" or "assistant", content: text }',
  (value) => Array.isArray(value) && value.length > 0 && value.every(isMessage),
];

/** Throws GemletError "bad-request" that names the first field that is missing, unknown or wrong. */
export function checkCompletionParams(params: unknown): asserts params is CompletionParams {
  checkFields(params, { prompt: PROMPT_RULE, ...SAMPLING_RULES }, "prompt");
}

/** Throws GemletError "bad-request" that names the first field that is missing, unknown or wrong. */
export function checkChatParams(params: unknown): asserts params is ChatParams {
  checkFields(params, { messages: MESSAGES_RULE, ...SAMPLING_RULES }, "messages");
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

function checkFields(params: unknown, rules: Record<string, Rule>, required: string): void {
  if (!isObject(params)) throw new GemletError("bad-request", `expected an object of parameters, found ${show(params)}`);
  if (params[required] === undefined) throw new GemletError("bad-request", `${required}: the field is missing`);
  for (const [field, value] of Object.entries(params)) {
    if (value === undefined) continue;
    const rule = rules[field];
    if (!rule) throw new GemletError("bad-request", `${field}: this field is not supported`);
    const [expected, holds] = rule;
    if (!holds(value)) throw new GemletError("bad-request", `${field}: expected ${expected}, found ${show(value)}`);
  }
}

function isTokenList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => isInteger(id) && id >= 0);
}

function isMessage(value: unknown): value is ChatMessage {
  return (
    isObject(value) &&
    Object.keys(value).every((key) => key === "role" || key === "content") &&
    ["system", "user", "assistant"].includes(value["role"] as string) &&
    typeof value["content"] === "string"
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
