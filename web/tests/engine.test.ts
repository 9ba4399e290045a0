/** Completions, from OpenAI's objects down to a fake backend. */

import { describe, expect, test } from "vitest";
import type { CompletionParams } from "../src/engine/openai";
import { GemletError } from "../src/errors";
import { BOS, CONTEXT, STOP } from "./fixture";
import { SCRIPT, start, TEXT, tokenizer } from "./recital_engine";

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
