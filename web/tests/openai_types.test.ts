/** The types of OpenAI's own client accept what the engine gives, and the engine what its users pass. The type check fails where they do not. */

import type OpenAI from "openai";
import { describe, expectTypeOf, test } from "vitest";
import type { AnswerMessage, ChatCompletion, ChatCompletionChunk, ChatParams, Completion, CompletionChunk, CompletionParams, Engine, Tool, ToolCall } from "../src/gemlet";

describe("OpenAI's types", () => {
  test("accept chats, whole and in chunks", () => {
    expectTypeOf<ChatCompletion>().toExtend<OpenAI.ChatCompletion>();
    expectTypeOf<ChatCompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>();
  });

  test("accept completions, whole and in chunks but for the nulls before the end, which its client's types forget", () => {
    type Ended = Omit<CompletionChunk, "choices" | "usage"> & {
      choices: (Omit<CompletionChunk["choices"][number], "finish_reason"> & { finish_reason: NonNullable<CompletionChunk["choices"][number]["finish_reason"]> })[];
      usage?: NonNullable<CompletionChunk["usage"]>;
    };
    expectTypeOf<Completion>().toExtend<OpenAI.Completion>();
    expectTypeOf<Ended>().toExtend<OpenAI.Completion>();
  });

  test("take an answer's message, its calls and tools as parts of the next request", () => {
    expectTypeOf<AnswerMessage>().toExtend<OpenAI.ChatCompletionMessageParam>();
    expectTypeOf<Required<ToolCall>>().toExtend<OpenAI.ChatCompletionMessageToolCall>();
    expectTypeOf<OpenAI.ChatCompletionMessageFunctionToolCall>().toExtend<ToolCall>();
  });
});

describe("The engine's types accept what users of OpenAI's client write", () => {
  test("a chat with tools, a schema and all that both know", () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { place: { type: "string" } } } } }] satisfies
      OpenAI.ChatCompletionFunctionTool[] & Tool[];
    const request = {
      model: "gemma",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: [{ type: "text", text: "Oslo?" }] },
        { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: { name: "get_weather", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "call_1", content: "12 degrees" },
      ],
      tools,
      tool_choice: { type: "function", function: { name: "get_weather" } },
      reasoning_effort: "low",
      response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema: { type: "object" } } },
      max_completion_tokens: 20,
      temperature: 0.5,
      top_p: 0.9,
      presence_penalty: 0.1,
      frequency_penalty: 0.1,
      logit_bias: { "7": -100 },
      logprobs: true,
      top_logprobs: 2,
      n: 1,
      seed: 1,
      stop: ["\n"],
    } satisfies OpenAI.ChatCompletionCreateParamsNonStreaming & ChatParams;
    expectTypeOf(request).toExtend<ChatParams>();
    expectTypeOf({ ...request, stream: true as const, stream_options: { include_usage: true } }).toExtend<OpenAI.ChatCompletionCreateParamsStreaming & ChatParams>();
  });

  test("nulls wherever OpenAI's types allow them, and fields that mean nothing here", () => {
    const request = {
      model: "gemma",
      messages: [{ role: "user", content: "Oslo?" }],
      frequency_penalty: null, logit_bias: null, logprobs: null, max_completion_tokens: null, max_tokens: null, metadata: null, modalities: null, n: null,
      prediction: null, presence_penalty: null, prompt_cache_key: null, prompt_cache_retention: null, reasoning_effort: null, safety_identifier: null, seed: null,
      service_tier: null, stop: null, store: null, stream: null, stream_options: null, temperature: null, top_logprobs: null, top_p: null, verbosity: null,
    } satisfies OpenAI.ChatCompletionCreateParamsNonStreaming & ChatParams;
    expectTypeOf(request).toExtend<ChatParams>();
    const ignored = {
      ...request, user: "ann", store: true, metadata: { a: "b" }, parallel_tool_calls: false, service_tier: "auto", prompt_cache_key: "k", modalities: ["text"],
      prediction: { type: "content", content: "Oslo" }, stream_options: { include_obfuscation: false },
    } satisfies OpenAI.ChatCompletionCreateParamsNonStreaming & ChatParams;
    expectTypeOf(ignored).toExtend<ChatParams>();
    expectTypeOf<Parameters<Engine["chat"]["completions"]["create"]>[0]>().toExtend<ChatParams>();
    const completion = { model: "gemma", prompt: "The sea", best_of: null, echo: null, max_tokens: null, logprobs: null, stop: null, stream: null, temperature: null } satisfies
      OpenAI.CompletionCreateParamsNonStreaming & CompletionParams;
    expectTypeOf(completion).toExtend<CompletionParams>();
  });

  test("a completion", () => {
    const request = { model: "gemma", prompt: "The sea", max_tokens: 9, logprobs: 2, stop: "." } satisfies OpenAI.CompletionCreateParamsNonStreaming & CompletionParams;
    expectTypeOf(request).toExtend<CompletionParams>();
  });
});
