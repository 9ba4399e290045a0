/** The engine from OpenAI's objects down to a fake backend, over a real message channel instead of a worker. */

import { describe, expect, test } from "vitest";
import { chatCompletions, textCompletions } from "../src/engine/completions";
import type { DrawRequest } from "../src/backend/backend";
import { Core } from "../src/engine/core";
import type { ChatParams, CompletionParams } from "../src/engine/openai";
import { type Endpoint, RpcClient, serveRpc } from "../src/engine/rpc";
import { GemletError } from "../src/errors";
import { ChatTemplate } from "../src/text/chat";
import { Tokenizer } from "../src/text/tokenizer";
import { FakeBackend } from "./fake_backend";
import { loadForNode } from "./xgrammar";
import { BOS, CONTEXT, makeArtifact, PREFILL, STOP, TEMPLATE, TOKENIZER_FACTS, tokenizerFile, VOCABULARY } from "./fixture";

const TEXT = "the tea ☕ is in the tin";
const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
const STORAGE = { place: "files", network_bytes: 0, stored_bytes: 64, persistent: false, note: null } as const;
const SCRIPT = [...tokenizer.encodePlain(TEXT), STOP[1]!];

async function start({ chat = true, template = TEMPLATE, adjusts = true } = {}) {
  const { manifest } = await makeArtifact(TEXT, { chat });
  if (adjusts) manifest.adjust = { adjustments: 0, mask: 0 };
  const backend = new FakeBackend(SCRIPT, { prefillSizes: PREFILL });
  backend.vocabulary = VOCABULARY.length;
  const rendering = chat ? new ChatTemplate(template, tokenizer, { bos_token: "<bos>", eos_token: "<eos>" }) : null;
  const core = new Core({ manifest, tokenizer, chat: rendering, backend, storage: STORAGE, fallBack: null }, { stepsInFlight: 4, conversationMemory: 1000 }, () => undefined, loadForNode);
  const { port1, port2 } = new MessageChannel();
  serveRpc(port1 as Endpoint, {
    load: async () => core.info,
    makeRoom: async () => null,
    logits: (request) => core.logits(request),
    generate: (request, onEvent, signal) =>
      core.generate(request, (promptTokens) => onEvent({ promptTokens }), (token, delta, logprob) => onEvent({ token, delta, logprob }), signal),
    unload: async () => null,
  });
  const rpc = new RpcClient(port2 as Endpoint);
  port1.start();
  port2.start();
  const completions = textCompletions(rpc, manifest.name);
  const chats = chatCompletions(rpc, manifest.name);
  return { backend, rpc, completions, chats };
}

const MESSAGES: ChatParams["messages"] = [{ role: "user", content: "tea?" }];

describe("completions", () => {
  test("give OpenAI's whole object, with usage", async () => {
    const { completions } = await start();
    const answer = await completions.create({ prompt: "tea", return_token_ids: true });
    expect(answer).toMatchObject({
      object: "text_completion",
      model: "recital",
      choices: [{ index: 0, text: TEXT, finish_reason: "stop", logprobs: null, token_ids: SCRIPT }],
      usage: { prompt_tokens: 4, completion_tokens: SCRIPT.length, total_tokens: 4 + SCRIPT.length },
    });
    expect(answer.usage.gemlet.time_to_first_token_ms).toBeGreaterThan(0);
    expect(answer.usage.gemlet.decode_tokens_per_second).toBeGreaterThan(0);
  });

  test("stream pieces that join to the same text and tokens, one finish_reason, then the usage", async () => {
    const { completions } = await start();
    const chunks = [];
    const stream = await completions.create({ prompt: "tea", stream: true, return_token_ids: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) chunks.push(chunk);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    expect(choices.map((choice) => choice.text).join("")).toBe(TEXT);
    expect(choices.flatMap((choice) => choice.token_ids)).toEqual(SCRIPT);
    expect(choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null)).toEqual(["stop"]);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: SCRIPT.length } });
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  test("add the BOS to text, and take token ids as they are", async () => {
    const { completions, backend } = await start();
    await completions.create({ prompt: "", max_tokens: 1 });
    await completions.create({ prompt: "<bos>a<turn|>", max_tokens: 1 });
    await completions.create({ prompt: [7, 8], max_tokens: 1 });
    expect(backend.prompts).toEqual([[BOS], [BOS, ...tokenizer.encodePlain("a"), 5], [7, 8]]);
  });

  test("pass the sampling on, greedy too, and draw a seed where none is given", async () => {
    const { completions, backend } = await start();
    await completions.create({ prompt: "a", temperature: 0, top_k: 5, top_p: 0.5, min_p: 0.1, seed: 4294967295, max_tokens: 1 });
    expect(backend.sampling).toEqual({ temperature: 0, top_k: 5, top_p: 0.5, min_p: 0.1, seed: 4294967295, stop: STOP });
    const seeds = [];
    for (let i = 0; i < 3; i++) {
      await completions.create({ prompt: "a", max_tokens: 1 });
      seeds.push(backend.sampling!.seed);
    }
    expect(backend.sampling).toMatchObject({ temperature: 1, top_k: 0, top_p: 1, min_p: 0 });
    expect(new Set(seeds).size).toBe(3); // three equal 32-bit seeds: once in 10^9 runs at most
  });

  test("go on after stop tokens with ignore_eos", async () => {
    const { completions } = await start();
    const answer = await completions.create({ prompt: "a", ignore_eos: true, max_tokens: SCRIPT.length + 2, return_token_ids: true });
    expect(answer.choices[0]).toMatchObject({ finish_reason: "length", token_ids: [...SCRIPT, ...SCRIPT.slice(0, 2)] });
  });

  test("end with length where the context is full", async () => {
    const { completions } = await start();
    const prompt = new Array<number>(CONTEXT - 3).fill(9);
    const answer = await completions.create({ prompt, max_tokens: 10 });
    expect(answer).toMatchObject({ choices: [{ finish_reason: "length" }], usage: { total_tokens: CONTEXT } });
  });

  test("refuse a prompt that does not fit, with both numbers", async () => {
    const { completions } = await start();
    const refused = completions.create({ prompt: new Array<number>(CONTEXT).fill(9) });
    await expect(refused).rejects.toMatchObject({ code: "context-overflow", message: expect.stringMatching(/4096 tokens.*holds 4096/) });
  });

  test("can be aborted mid-way and used again", async () => {
    const { completions } = await start();
    const aborter = new AbortController();
    const choices = [];
    for await (const chunk of await completions.create({ prompt: "a", stream: true, signal: aborter.signal })) {
      choices.push(chunk.choices[0]!);
      aborter.abort();
    }
    expect(choices.map(({ finish_reason, aborted }) => [finish_reason, aborted])).toEqual([...choices.slice(1).map(() => [null, undefined]), ["stop", true]]);
    const whole = await completions.create({ prompt: "a" });
    expect(whole.choices[0]).toMatchObject({ text: TEXT, finish_reason: "stop" });
    expect(whole.choices[0]).not.toHaveProperty("aborted");
  });

  test("abort where the reader leaves the stream", async () => {
    const { completions, backend } = await start();
    for await (const _ of await completions.create({ prompt: "a", stream: true, ignore_eos: true, max_tokens: 1000 })) break;
    await completions.create({ prompt: "b", max_tokens: 1 });
    expect(backend.calls.filter((call) => call === "decode").length).toBeLessThan(100);
  });

  test("go on with a conversation that another took the place of", async () => {
    const { completions } = await start();
    const cached = async (prompt: string) => (await completions.create({ prompt, max_tokens: 2 })).usage.prompt_tokens_details.cached_tokens;
    expect([await cached("tea"), await cached("in the tin")]).toEqual([0, 1]); // the BOS
    expect(await cached("tea")).toBe(tokenizer.encodePlain("tea").length);
  });

  test("queue: each is answered whole, in order", async () => {
    const { completions, backend } = await start();
    const answers = await Promise.all(["a", "b", "c"].map((prompt) => completions.create({ prompt })));
    expect(answers.map((answer) => answer.choices[0]!.text)).toEqual([TEXT, TEXT, TEXT]);
    expect(backend.prompts.map((ids) => ids[1])).toEqual(["a", "b", "c"].map((text) => tokenizer.encodePlain(text)[0]));
  });

  test("throw a backend's failure out of the stream, and answer the next", async () => {
    const { completions, backend } = await start();
    backend.failAt = 3;
    const read = async () => {
      for await (const _ of await completions.create({ prompt: "a", stream: true }));
    };
    await expect(read()).rejects.toThrow("the GPU is gone");
    backend.failAt = Infinity;
    expect((await completions.create({ prompt: "a" })).choices[0]!.text).toBe(TEXT);
  });

  test.each<[string, object]>([
    ["prompt", {}],
    ["prompt", { prompt: 3 }],
    ["prompt", { prompt: [1.5] }],
    ["n", { prompt: "a", n: 2 }],
    ["logprobs", { prompt: "a", logprobs: 21 }],
    ["logprobs", { prompt: "a", logprobs: true }],
    ["presence_penalty", { prompt: "a", presence_penalty: 2.1 }],
    ["frequency_penalty", { prompt: "a", frequency_penalty: -2.1 }],
    ["repetition_penalty", { prompt: "a", repetition_penalty: 0 }],
    ["logit_bias", { prompt: "a", logit_bias: { the: 1 } }],
    ["logit_bias", { prompt: "a", logit_bias: { 3: 101 } }],
    ["logit_bias.100000", { prompt: "a", logit_bias: { 100000: 1 } }],
    ["max_completion_tokens", { prompt: "a", max_completion_tokens: 2 }],
    ["temperature", { prompt: "a", temperature: -1 }],
    ["temperature", { prompt: "a", temperature: "1" }],
    ["top_k", { prompt: "a", top_k: 1.5 }],
    ["top_p", { prompt: "a", top_p: 0 }],
    ["min_p", { prompt: "a", min_p: 2 }],
    ["seed", { prompt: "a", seed: 2 ** 32 }],
    ["max_tokens", { prompt: "a", max_tokens: 0 }],
    ["stop", { prompt: "a", stop: [""] }],
    ["stop", { prompt: "a", stop: [] }],
    ["stream_options", { prompt: "a", stream_options: { other: true } }],
    ["model", { prompt: "a", model: "another" }],
    ["signal", { prompt: "a", signal: "now" }],
    ["token ids", { prompt: [] }],
    ["token ids", { prompt: [100000] }],
  ])("refuse by name: %s in %j", async (field, params) => {
    const { completions, backend } = await start();
    const refused = completions.create(params as CompletionParams & { stream?: false });
    await expect(refused).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(new RegExp(`^${field}: `)) });
    expect(backend.calls).toEqual([]);
  });
});

describe("logprobs, penalties and biases", () => {
  const ID = SCRIPT[0]!;
  // Of logits that are 1 for the token that is drawn, and 0 for all others.
  const LIKELY = 1 - Math.log(Math.E + VOCABULARY.length - 1);
  const OTHER = LIKELY - 1;

  test("give each token of a chat its logprob and the likeliest, with bytes, but none to the stop token", async () => {
    const { chats, backend } = await start();
    const answer = await chats.create({ messages: MESSAGES, logprobs: true, top_logprobs: 2 });
    const { content, refusal } = answer.choices[0]!.logprobs!;
    expect([content.length, refusal]).toEqual([SCRIPT.length - 1, null]);
    expect(new TextDecoder().decode(Uint8Array.from(content.flatMap(({ bytes }) => bytes)))).toBe(TEXT);
    const [first] = content;
    expect(first).toMatchObject({ token: "t", bytes: [116], top_logprobs: [{ token: "t" }, { token: "<pad>" }] });
    for (const [found, expected] of [[first!.logprob, LIKELY], [first!.top_logprobs[0]!.logprob, LIKELY], [first!.top_logprobs[1]!.logprob, OTHER]]) {
      expect(found).toBeCloseTo(expected!, 6);
    }
    // The three bytes of the cup, none of which is a character.
    expect(content.map(({ token }) => token)).toEqual(expect.arrayContaining(["<0xE2>", "<0x98>", "<0x95>"]));
    expect(backend.requests.every(({ adjustment, logits }) => adjustment === null && logits)).toBe(true);
    expect(backend.mostFlying).toBe(1);
  });

  test("stream the same as they give whole", async () => {
    const { chats, completions } = await start();
    const whole = (await chats.create({ messages: MESSAGES, logprobs: true })).choices[0]!.logprobs!.content;
    const streamed = [];
    for await (const { choices } of await chats.create({ messages: MESSAGES, logprobs: true, stream: true })) streamed.push(...choices[0]!.logprobs!.content);
    expect(streamed).toEqual(whole);
    const offsets = [];
    for await (const { choices } of await completions.create({ prompt: "a", logprobs: 0, stream: true })) offsets.push(...choices[0]!.logprobs!.text_offset);
    expect(offsets).toEqual((await completions.create({ prompt: "a", logprobs: 0 })).choices[0]!.logprobs!.text_offset);
  });

  test("give completions their own shape", async () => {
    const { completions } = await start();
    const { tokens, token_logprobs, top_logprobs, text_offset } = (await completions.create({ prompt: "a", logprobs: 1 })).choices[0]!.logprobs!;
    expect([tokens.length, token_logprobs.length, top_logprobs.length, text_offset.length]).toEqual(new Array(4).fill(SCRIPT.length - 1));
    expect(text_offset.slice(0, 3)).toEqual([0, tokens[0]!.length, tokens[0]!.length + tokens[1]!.length]);
    expect(Object.keys(top_logprobs[0]!)).toEqual([tokens[0]]);
    const bare = await completions.create({ prompt: "a" });
    expect(bare.choices[0]!.logprobs).toBeNull();
  });

  test("ask each draw for an adjustment, from the tokens so far", async () => {
    const { completions, backend } = await start();
    await completions.create({ prompt: [7, 8], presence_penalty: 0.5, repetition_penalty: 2, logit_bias: { 8: -3 }, max_tokens: 2, n: 1 });
    const entries = backend.requests.map(({ adjustment }) => {
      const { words, mask } = adjustment!;
      expect([mask, words[1]]).toEqual([null, 0]);
      const floats = new Float32Array(words.buffer);
      return Array.from({ length: words[0]! }, (_, i) => [words[2 + 3 * i], floats[3 + 3 * i], floats[4 + 3 * i]]);
    });
    expect(entries).toEqual([[[7, 2, 0], [8, 2, -3]], [[7, 2, 0], [8, 2, -3], [ID, 2, -0.5]]]);
    expect(backend.requests.every(({ logits }) => !logits)).toBe(true);
  });

  test("ask for nothing where a request does not, even with fields that change nothing", async () => {
    const { completions, backend } = await start();
    await completions.create({ prompt: "a", presence_penalty: 0, frequency_penalty: 0, repetition_penalty: 1, logit_bias: {}, n: 1 });
    expect([backend.requests, backend.mostFlying]).toEqual([[], 4]);
  });

  test("are refused of an artifact without steps for them", async () => {
    const { completions, chats } = await start({ adjusts: false });
    const old = { code: "bad-request", message: expect.stringMatching(/recital was compiled by an older gemlet.*compile the model again/) };
    await expect(completions.create({ prompt: "a", frequency_penalty: 1 })).rejects.toMatchObject(old);
    await expect(chats.create({ messages: MESSAGES, logprobs: true })).rejects.toMatchObject(old);
  });

  test("take max_completion_tokens for max_tokens in a chat", async () => {
    const { chats } = await start();
    const answer = await chats.create({ messages: MESSAGES, max_completion_tokens: 2 });
    expect([answer.choices[0]!.finish_reason, answer.usage.completion_tokens]).toEqual(["length", 2]);
  });
});

describe("grammars", () => {
  const allows = ({ adjustment }: DrawRequest, token: number): boolean => Boolean((adjustment!.mask![token >> 5]! >> (token & 31)) & 1);

  test("mask each draw by what has been drawn, and let the answer end where they end", async () => {
    const { completions, backend } = await start();
    const answer = await completions.create({ prompt: "a", regex: "the tea . is( in)+ the tin" });
    expect(answer.choices[0]).toMatchObject({ text: TEXT, finish_reason: "stop" });
    expect(backend.requests.length).toBe(SCRIPT.length);
    SCRIPT.forEach((token, i) => expect(STOP.map((stop) => allows(backend.requests[i]!, stop))).toEqual(STOP.map(() => token === STOP[1])));
    expect(SCRIPT.every((token, i) => allows(backend.requests[i]!, token))).toBe(true);
    expect(allows(backend.requests[0]!, tokenizer.encodePlain("a")[0]!)).toBe(false);
    expect(backend.mostFlying).toBe(1);
  });

  test("are refused before the answer, in the request's turn, where they are wrong", async () => {
    const { completions, chats, backend } = await start();
    const bad = (fields: object) => completions.create({ prompt: "a", stream: true, ...fields } as CompletionParams & { stream: true });
    const first = completions.create({ prompt: "b", max_tokens: 1 });
    await expect(bad({ grammar: "root ::= " })).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(/^grammar: the grammar is not valid/) });
    await first;
    expect(backend.prompts.length).toBe(1);
    const tools = [{ type: "function" as const, function: { name: "fan" } }];
    await expect(chats.create({ messages: MESSAGES, tools, tool_choice: "required", regex: "a" })).rejects.toMatchObject({ code: "bad-request" });
  });

  test.each([
    ["response_format.type: expected \"text\", \"json_object\", \"json_schema\", found \"xml\"", { response_format: { type: "xml" } }],
    ["response_format.type: expected", { response_format: {} }],
    ["response_format: expected an object", { response_format: "json" }],
    ["response_format.json_schema: the field is missing", { response_format: { type: "json_schema" } }],
    ["response_format.json_schema.schema: the field is missing", { response_format: { type: "json_schema", json_schema: { name: "a" } } }],
    ["response_format.schema: this field is not supported", { response_format: { type: "json_object", schema: {} } }],
    ["response_format.json_schema.schema.pattern: this keyword is not enforced", { response_format: { type: "json_schema", json_schema: { name: "a", schema: { pattern: "a" } } } }],
    ["grammar: expected text that is not empty", { grammar: "" }],
    ["regex: expected text", { regex: /a/ }],
    ["regex: response_format says already what the answer is to be", { response_format: { type: "json_object" }, regex: "a" }],
    ["ignore_eos: regex ends the answer", { regex: "a", ignore_eos: true }],
  ])("refuse by name: %s", async (message, fields) => {
    const { completions, backend } = await start();
    const refused = completions.create({ prompt: "a", ...fields } as CompletionParams & { stream?: false });
    await expect(refused).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining(message) });
    expect(backend.calls).toEqual([]);
  });

  test("ask for nothing where the answer is to be text", async () => {
    const { completions, backend } = await start();
    await completions.create({ prompt: "a", response_format: { type: "text" } });
    expect([backend.requests, backend.mostFlying]).toEqual([[], 4]);
  });
});

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

  test("give the template its tools and variables", async () => {
    const template = "{{ tools[0].function.name }} {{ mood }} {{ messages[0].content[0].text }}";
    const { chats, backend } = await start({ template });
    const tools = [{ type: "function" as const, function: { name: "fan" } }];
    const messages = [{ role: "user" as const, content: [{ type: "text" as const, text: "in" }] }];
    await chats.create({ messages, tools, chat_template_kwargs: { mood: "calm" } });
    expect(tokenizer.decode(backend.prompts[0]!)).toBe("fan calm in");
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
    ["enable_thinking: this field is not supported", { messages: MESSAGES, enable_thinking: true }],
  ])("refuse by name: %s", async (message, params) => {
    const { chats } = await start();
    const refused = chats.create(params as unknown as ChatParams & { stream?: false });
    await expect(refused).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining(message) });
  });
});

describe("rpc", () => {
  test("keeps codes of errors, and rejects all calls once it has failed", async () => {
    const { rpc } = await start();
    await expect(rpc.call("logits", { ids: [] })).rejects.toBeInstanceOf(GemletError);
    const failure = new GemletError("worker-failed", "gone");
    const pending = rpc.call("logits", { ids: [3] });
    rpc.fail(failure);
    await expect(pending).rejects.toBe(failure);
    await expect(rpc.call("unload", null)).rejects.toBe(failure);
  });

  test("gives logits from an empty cache, in the forced chunks", async () => {
    const { rpc, backend } = await start();
    expect([...(await rpc.call("logits", { ids: [7, 8, 9], chunks: [1, 2] }))]).toEqual([1, 2, 3]);
    expect(backend.calls).toEqual(["start", "prefill 1/4", "prefill 2/4", "logits"]);
  });
});
