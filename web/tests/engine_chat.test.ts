/** Chats, from OpenAI's objects down to a fake backend. */

import { describe, expect, test } from "vitest";
import type { LoadRequest } from "../src/engine/load";
import type { ChatParams } from "../src/engine/openai";
import { MESSAGES, SCRIPT, start, TEXT, tokenizer } from "./recital_engine";

describe("chat.completions", () => {
  test("give OpenAI's whole object", async () => {
    const { chats, backend } = await start();
    expect(await chats.create({ messages: MESSAGES, model: "recital" })).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: TEXT }, finish_reason: "stop" }],
    });
    expect(tokenizer.decode(backend.prompts[0]!)).toBe("user\ntea?\nmodel\n");
  });

  test("stream the role first, then the text, then the finish_reason", async () => {
    const { chats } = await start();
    const choices = [];
    for await (const chunk of await chats.create({ messages: MESSAGES, stream: true })) {
      expect(chunk.object).toBe("chat.completion.chunk");
      choices.push(chunk.choices[0]!);
    }
    expect(choices[0]).toEqual({ index: 0, logprobs: null, delta: { role: "assistant", content: "" }, finish_reason: null });
    expect(choices.map((choice) => choice.delta.content ?? "").join("")).toBe(TEXT);
    expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason: "stop" });
  });

  test("reject at once, not in the stream, what is wrong with a request", async () => {
    const { chats } = await start({ chat: false });
    await expect(chats.create({ messages: MESSAGES, stream: true })).rejects.toThrow(/messages: .*base model.*use completions/);
  });

  test("go on behind an answer that broke off, of which next to nothing is computed again", async () => {
    const { chats, backend } = await start();
    const begun = (await chats.create({ messages: MESSAGES, max_tokens: 3 })).choices[0]!.message;
    const answer = await chats.create({ messages: [...MESSAGES, begun], continue_final_message: true, max_tokens: 1 });
    expect(backend.prompts[1]).toEqual([...backend.prompts[0]!, ...SCRIPT.slice(0, 3)]);
    // The last token is computed in any case: its logits are wanted.
    expect(answer.usage.prompt_tokens - answer.usage.prompt_tokens_details.cached_tokens).toBe(1);
  });

  test("tell whether thoughts can be switched on", async () => {
    for (const [template, thinking] of [["{{ messages }}", false], ["{% if enable_thinking %}Think.{% endif %}", true]] as const) {
      const { rpc } = await start({ template });
      expect((await rpc.call("load", {} as LoadRequest)).thinking).toBe(thinking);
    }
  });

  test("give the template its tools and variables", async () => {
    const template = "{{ tools[0].function.name }} {{ mood }} {{ messages[0].content[0].text }}";
    const { chats, backend } = await start({ template });
    const tools = [{ type: "function" as const, function: { name: "fan" } }];
    const messages = [{ role: "user" as const, content: [{ type: "text" as const, text: "in" }] }];
    await chats.create({ messages, tools, chat_template_kwargs: { mood: "calm" } });
    expect(tokenizer.decode(backend.prompts[0]!)).toBe("fan calm in");
  });

  const NULLS = {
    audio: null, frequency_penalty: null, function_call: null, functions: null, logit_bias: null, logprobs: null, max_completion_tokens: null, max_tokens: null,
    metadata: null, modalities: null, n: null, parallel_tool_calls: null, prediction: null, presence_penalty: null, prompt_cache_key: null, reasoning_effort: null,
    response_format: null, seed: null, service_tier: null, stop: null, store: null, stream: null, stream_options: null, temperature: null, tool_choice: null,
    tools: null, top_logprobs: null, top_p: null, user: null, verbosity: null, web_search_options: null, safety_identifier: null, model: null, signal: null,
    top_k: null, min_p: null, repetition_penalty: null, grammar: null, regex: null, overflow: null, ignore_eos: null, return_token_ids: null,
    chat_template_kwargs: null, thinking_budget: null, continue_final_message: null,
  };

  test("take null for whatever may be absent, with the same answer", async () => {
    const call = { id: "1", type: "function", function: { name: "f", arguments: '{"a":null}' } } as const;
    const messages = [
      { role: "system", content: "a", name: null },
      { role: "user", content: "b", name: null },
      { role: "assistant", content: null, name: null, refusal: null, audio: null, function_call: null, annotations: [], reasoning_content: null, tool_calls: [call] },
      { role: "tool", content: "c", tool_call_id: "1", name: null },
      { role: "assistant", content: "d", tool_calls: null, tool_responses: null },
      { role: "user", content: [{ type: "text", text: "e" }] },
    ];
    const template = "{{ messages | tojson }}{{ tools | tojson }}{{ mood }}";
    const bare = [
      { role: "system", content: "a" },
      { role: "user", content: "b" },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", content: "c", tool_call_id: "1" },
      { role: "assistant", content: "d" },
      { role: "user", content: [{ type: "text", text: "e" }] },
    ];
    const { chats, backend } = await start({ template });
    const ask = (params: object) => chats.create(params as unknown as ChatParams & { stream?: false });
    const [found, expected] = [await ask({ ...NULLS, messages }), await ask({ messages: bare })];
    expect(found.choices).toEqual(expected.choices);
    expect(backend.prompts[0]).toEqual(backend.prompts[1]);
    expect(backend.sampling).toMatchObject({ temperature: 1, top_p: 1, top_k: 0 });
  });

  test("keep null where it is a value of the caller's own", async () => {
    const template = "{{ tools | tojson }}{{ mood }}{{ messages[0].tool_calls[0].function.arguments }}{{ messages[0].tool_responses }}";
    const { chats, backend } = await start({ template });
    const parameters = { type: "object", properties: { a: { enum: [null, 1], default: null } } };
    const messages: ChatParams["messages"] = [
      { role: "assistant", tool_calls: [{ type: "function", function: { name: "f", arguments: '{"a":null}' } }], tool_responses: [{ name: "f", response: { b: null } }] },
    ];
    await chats.create({ messages, tools: [{ type: "function", function: { name: "f", parameters, strict: null } }], chat_template_kwargs: { mood: null } });
    expect(tokenizer.decode(backend.prompts[0]!)).toBe(
      '[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": [null, 1], "default": null}}}}}]' +
        "None{'a': None}[{'name': 'f', 'response': {'b': None}}]");
  });

  test("leave what a caller passes as it was", async () => {
    const params = Object.freeze({ messages: Object.freeze([Object.freeze({ role: "user", content: "a", name: null })]), temperature: null });
    const { chats } = await start();
    await chats.create(params as unknown as ChatParams & { stream?: false });
    expect(params).toEqual({ messages: [{ role: "user", content: "a", name: null }], temperature: null });
  });

  test("take fields of OpenAI's that mean nothing here", async () => {
    const { chats, backend } = await start();
    const ignored = {
      user: "ann", safety_identifier: "a", store: true, metadata: { a: "b" }, service_tier: "auto", prompt_cache_key: "k", prompt_cache_retention: "24h",
      prediction: { type: "content", content: "tea" }, parallel_tool_calls: true, modalities: ["text"], verbosity: "medium",
    } satisfies Partial<ChatParams>;
    const answers = [await chats.create({ messages: MESSAGES, ...ignored }), await chats.create({ messages: MESSAGES })];
    expect(answers[0]!.choices).toEqual(answers[1]!.choices);
    expect(backend.prompts[0]).toEqual(backend.prompts[1]);
    const { completions } = await start();
    expect((await completions.create({ prompt: "a", user: "ann", best_of: 1, echo: false })).choices[0]!.text).toBe(TEXT);
  });

  test("advise what fits the request where the prompt does not fit", async () => {
    const { chats, completions, rpc } = await start({ context: 16 });
    const messages = [{ role: "user" as const, content: "tea".repeat(20) }];
    await expect(chats.create({ messages })).rejects.toMatchObject({ code: "context-overflow", message: expect.stringMatching(/forgotten with overflow: "shift"$/) });
    const shifted = chats.create({ messages, overflow: "shift" });
    await expect(shifted).rejects.toMatchObject({ code: "context-overflow", message: expect.stringMatching(/last of the user's messages.*shorten the prompt or compile/) });
    await expect(shifted).rejects.not.toThrow(/overflow:/);
    await expect(completions.create({ prompt: "tea".repeat(20) })).rejects.toThrow(/overflow: "shift"/);
    expect((await completions.create({ prompt: "tea".repeat(20), overflow: "shift", max_tokens: 2 })).choices[0]!.finish_reason).toBe("length");
    const logits = rpc.call("logits", { ids: new Array(17).fill(7) });
    await expect(logits).rejects.toThrow(/17 tokens.*shorten the prompt or compile/);
  });

  const assistant = (fields: object) => ({ messages: [{ role: "assistant", ...fields }] });
  const calling = (fields: object) => assistant({ tool_calls: [{ type: "function", function: { name: "f", arguments: "{}", ...fields } }] });
  const tooling = (fields: object) => ({ messages: MESSAGES, tools: [{ type: "function", function: { name: "f", ...fields } }] });
  test.each([
    ["messages: expected a list of messages", { messages: [] }],
    ["messages: the field is missing", {}],
    ["messages[1]: expected an object", { messages: [...MESSAGES, "b"] }],
    ["messages[0].role: expected \"system\"", { messages: [{ role: "robot", content: "a" }] }],
    ["messages[0].content: the field is missing", { messages: [{ role: "user" }] }],
    ["messages[0].content: expected a list of { type: \"text\", text }, found null", { messages: [{ role: "user", content: null }] }],
    ["messages[0].content[0].type: expected \"text\"", { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] }],
    ["messages[0].tool_call_id: the field is missing", { messages: [{ role: "tool", content: "a" }] }],
    ["messages[0].tool_calls: this field is not supported", { messages: [{ role: "user", content: "a", tool_calls: [] }] }],
    ["messages[0].refusal: expected null", assistant({ content: "a", refusal: "no" })],
    ["messages[0].tool_calls: expected a list of calls, not empty", assistant({ tool_calls: [] })],
    ["messages[0].tool_calls[0].function.arguments: expected JSON text of an object, found \"[]\"", calling({ arguments: "[]" })],
    ["messages[0].tool_calls[0].function.arguments: expected JSON text of an object, found {}", calling({ arguments: {} })],
    ["messages[0].tool_calls[0].function.name: expected text", calling({ name: "" })],
    ["tools[0].function.parameters.properties.a: expected JSON", tooling({ parameters: { properties: { a: () => 0 } } })],
    ["tools[0].function.default: this field is not supported", tooling({ default: 1 })],
    ["tools[0].type: expected \"function\"", { messages: MESSAGES, tools: [{ type: "search", function: { name: "f" } }] }],
    ["chat_template_kwargs.messages: the engine sets this variable itself", { messages: MESSAGES, chat_template_kwargs: { messages: [] } }],
    ["chat_template_kwargs: expected an object", { messages: MESSAGES, chat_template_kwargs: true }],
    ["top_logprobs: expected logprobs: true beside it", { messages: MESSAGES, top_logprobs: 2 }],
    ["logprobs: expected true or false", { messages: MESSAGES, logprobs: 2 }],
    ["max_completion_tokens: another name of max_tokens", { messages: MESSAGES, max_completion_tokens: 2, max_tokens: 2 }],
    ["messages[0].role: continue_final_message goes on with an assistant's message", { messages: MESSAGES, continue_final_message: true }],
    ["messages[0].content: continue_final_message goes on behind the content", { ...assistant({ content: null }), continue_final_message: true }],
    ["messages[0].content: continue_final_message goes on behind the content", { ...assistant({ content: [] }), continue_final_message: true }],
    ["messages[0].tool_calls: continue_final_message", { ...calling({}), continue_final_message: true }],
    ["tool_choice: continue_final_message goes on with text", { ...assistant({ content: "a" }), tool_choice: "required", continue_final_message: true }],
    ["continue_final_message: expected true or false", { messages: MESSAGES, continue_final_message: 1 }],
    ['modalities: expected ["text"]', { messages: MESSAGES, modalities: ["text", "audio"] }],
    ["audio: this field is not supported", { messages: MESSAGES, audio: { voice: "alloy", format: "mp3" } }],
    ["web_search_options: this field is not supported", { messages: MESSAGES, web_search_options: {} }],
    ['verbosity: expected "medium"', { messages: MESSAGES, verbosity: "low" }],
    ["parallel_tool_calls: expected true or false", { messages: MESSAGES, parallel_tool_calls: 1 }],
    ["seed: expected an integer from 0 to 4294967295, found 7", { messages: MESSAGES, seed: 7n }],
    ["chat_template_kwargs.id: expected JSON, found 7", { messages: MESSAGES, chat_template_kwargs: { id: 7n } }],
    ["metadata.a: expected JSON", { messages: MESSAGES, metadata: { a: () => 0 } }],
    ["user: expected text", { messages: MESSAGES, user: 7 }],
    ["messages: the field is missing", { messages: null }],
    ["messages[0].tool_call_id: the field is missing", { messages: [{ role: "tool", content: "a", tool_call_id: null }] }],
    ["stream_options: expected { include_usage: true or false }", { messages: MESSAGES, stream_options: { include: true } }],
    ["enable_thinking: this field is not supported", { messages: MESSAGES, enable_thinking: true }],
  ])("refuse by name: %s", async (message, params) => {
    const { chats } = await start();
    const refused = chats.create(params as unknown as ChatParams & { stream?: false });
    await expect(refused).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining(message) });
  });
});
