/** Draws that a request changes or looks into, from OpenAI's objects down to a fake backend. */

import { describe, expect, test } from "vitest";
import type { DrawRequest } from "../src/backend/backend";
import type { CompletionParams } from "../src/engine/openai";
import { STOP, VOCABULARY } from "./fixture";
import { MESSAGES, SCRIPT, start, TEXT, tokenizer } from "./recital_engine";

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
