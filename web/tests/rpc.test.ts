/** Messages of every wrong kind: each call ends, and the engine answers the next. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { whenFree } from "../src/artifact/locks";
import type { ChatParams, CompletionParams } from "../src/engine/openai";
import { isShallow, MOST_LEVELS, plainCopy } from "../src/engine/plain_data";
import { type Endpoint, RpcClient, serveRpc } from "../src/engine/rpc";
import { show } from "../src/engine/check_fields";
import { GemletError } from "../src/errors";
import { FakeFiles } from "./fake_files";
import { MESSAGES, start, TEXT } from "./recital_engine";

type Whole = CompletionParams & { stream?: false };
const nested = (levels: number): unknown => {
  let value: unknown = "end";
  for (let level = 0; level < levels; level++) value = { a: value };
  return value;
};
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** A server alone, and what it says to messages that no client of ours would send. */
function rawServer() {
  const sent: { id?: number; error?: { code: string; message: string }; result?: unknown }[] = [];
  const listeners = new Map<string, (event: MessageEvent) => void>();
  const endpoint = { postMessage: (message: object) => void sent.push(message), addEventListener: (type: string, listener: (event: MessageEvent) => void) => void listeners.set(type, listener) };
  serveRpc(endpoint as unknown as Endpoint, { unload: async () => null, logits: async () => new Float32Array(1) } as unknown as Parameters<typeof serveRpc>[1]);
  return { sent, receive: (data: unknown, type = "message") => listeners.get(type)!({ data } as MessageEvent) };
}

describe("serveRpc", () => {
  test.each<[string, unknown]>([
    ["null", null], ["undefined", undefined], ["text", "load"], ["a number", 7], ["a list", [1]], ["a bigint", 3n], ["nothing", {}], ["no id", { method: "logits" }],
    ["an id that is text", { id: "3", method: "logits" }], ["an id that is NaN", { id: NaN, method: "logits" }], ["a fraction as id", { id: 0.5, method: "logits" }],
    ["an abort of nothing", { id: 99, abort: true }], ["a field of the prototype", { id: 1, method: "constructor" }], ["an unknown method", { id: 1, method: "launch" }],
    ["no method", { id: 1 }], ["a method that is a list", { id: 1, method: ["logits"] }],
  ])("takes %s, and answers what follows", async (_, message) => {
    const { sent, receive } = rawServer();
    expect(() => receive(message)).not.toThrow();
    receive({ id: 7, method: "unload", args: null });
    await turn();
    expect(sent.at(-1)).toEqual({ id: 7, result: null });
    for (const { error } of sent.slice(0, -1)) expect(error).toMatchObject({ code: "bad-request" });
  });

  test.each(["message", "messageerror"])("rejects the call whose message arrived as nothing (%s)", async (type) => {
    const { sent, receive } = rawServer();
    receive({ id: 4, method: "unload", args: null });
    receive(null, type);
    await turn();
    expect(sent.find(({ id }) => id === 5)?.error).toMatchObject({ code: "bad-request", message: expect.stringContaining("nest too deep") });
  });

  test("answers a call once, however often its message comes", async () => {
    const { sent, receive } = rawServer();
    for (let i = 0; i < 3; i++) receive({ id: 1, method: "logits", args: null });
    await turn();
    expect(sent.length).toBe(1);
  });
});

describe("RpcClient", () => {
  test.each<[string, unknown]>([["a function", { a: () => 1 }], ["a symbol", { a: Symbol("s") }], ["a proxy of what cannot be sent", new Proxy({ f: () => 1 }, {})]])(
    "rejects %s at the caller, and the next call is answered", async (_, args) => {
      const { rpc } = await start();
      await expect(rpc.call("logits", args as never)).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining("cannot be sent") });
      expect(await rpc.call("logits", { ids: [3] })).toHaveLength(3);
    });

  test.each<[string, unknown]>([
    ["null", null], ["text", "a"], ["no ids", {}], ["ids that are text", { ids: "abc" }], ["ids that are no integers", { ids: [0.5] }], ["chunks that are a number", { ids: [3], chunks: 1 }],
    ["blocks that are null", { ids: [3], blocks: null }], ["a field too many", { ids: [3], more: 1 }], ["chunks of bigints", { ids: [3], chunks: [1n] }],
  ])("has an error of the engine's for logits of %s", async (_, args) => {
    const { rpc } = await start();
    await expect(rpc.call("logits", args as never)).rejects.toBeInstanceOf(GemletError);
  });

  test.each<[string, unknown]>([
    ["null", null], ["no kind", { params: {} }], ["another kind", { kind: "image", params: {} }], ["no params", { kind: "chat" }], ["params of null", { kind: "chat", params: null }],
    ["wrong fields", { kind: "completion", params: { prompt: 3 } }], ["a deep schema", { kind: "chat", params: { messages: MESSAGES, response_format: { type: "json_schema", json_schema: { name: "a", schema: nested(500) } } } }],
  ])("has an error of the engine's for a request of %s", async (_, args) => {
    const { rpc, completions } = await start();
    await expect(rpc.call("generate", args as never)).rejects.toBeInstanceOf(GemletError);
    expect((await completions.create({ prompt: "a" })).choices[0]!.text).toBe(TEXT);
  });

  test("rejects all that is under way where a message cannot be read, or the worker is gone", async () => {
    const listeners = new Map<string, (event: MessageEvent) => void>();
    const endpoint = { postMessage: () => undefined, addEventListener: (type: string, listener: (event: MessageEvent) => void) => void listeners.set(type, listener) };
    const rpc = new RpcClient(endpoint as unknown as Endpoint);
    const first = rpc.call("unload", null);
    listeners.get("messageerror")!({} as MessageEvent);
    await expect(first).rejects.toMatchObject({ code: "worker-failed", message: expect.stringContaining("could not be read") });
    const second = rpc.call("unload", null);
    rpc.fail(new GemletError("worker-failed", "gone"));
    rpc.fail(new GemletError("unloaded", "later"));
    await expect(second).rejects.toMatchObject({ message: "gone" });
    await expect(rpc.call("unload", null)).rejects.toMatchObject({ message: "gone" });
  });
});

describe("whenFree", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("tells of a worker that has ended, once its lock is free", async () => {
    vi.stubGlobal("navigator", new FakeFiles().navigator);
    let end!: () => void;
    void navigator.locks.request("worker", {}, () => new Promise<void>((release) => (end = release)));
    const onFree = vi.fn();
    whenFree("worker", onFree);
    await turn();
    expect(onFree).not.toHaveBeenCalled();
    end();
    await turn();
    expect(onFree).toHaveBeenCalledTimes(1);
  });
});

describe("a request", () => {
  const failing = Object.defineProperty({}, "prompt", { enumerable: true, get: () => { throw new Error("no prompt here"); } });
  const ring: Record<string, unknown> = { prompt: "a" };
  ring["logit_bias"] = ring;
  test.each<[string, unknown, string]>([
    ["a getter that throws", failing, "no prompt here"],
    ["a proxy that throws", new Proxy({}, { ownKeys: () => { throw new TypeError("locked"); } }), "locked"],
    ["a ring", ring, "at most 128 levels"],
    ["a deep schema", { prompt: "a", response_format: { type: "json_schema", json_schema: { name: "a", schema: nested(2000) } } }, "response_format.json_schema.schema.a.a"],
    ["a bigint", { prompt: "a", max_tokens: 3n }, "max_tokens: expected an integer of at least 1, found 3n"],
    ["a bigint in a schema", { prompt: "a", response_format: { type: "json_schema", json_schema: { name: "a", schema: { const: 3n } } } }, "response_format.json_schema.schema.const: expected JSON, found 3n"],
    ["a symbol", { prompt: "a", seed: Symbol("s") }, "seed: expected"],
    ["a function", { prompt: "a", stop: () => 1 }, "stop: expected"],
    ["a list that says it is endless", { prompt: new Proxy([], { get: (list, key) => (key === "length" ? 2 ** 32 - 1 : Reflect.get(list, key)) }) }, "values"],
    ["max_tokens NaN", { prompt: "a", max_tokens: NaN }, "max_tokens: expected an integer of at least 1, found NaN"],
    ["ids with NaN", { prompt: [3, NaN] }, "prompt: expected text or token ids, found [3,NaN]"],
    ["a negative id", { prompt: [3, -1] }, "prompt: expected text or token ids"],
    ["nothing", null, "parameters: expected an object"],
  ])("of %s is refused by name, and the next is answered", async (_, params, message) => {
    const { completions } = await start();
    await expect(completions.create(params as Whole)).rejects.toMatchObject({ name: "GemletError", code: "bad-request", message: expect.stringContaining(message) });
    expect((await completions.create({ prompt: "a" })).choices[0]!.text).toBe(TEXT);
  });

  test("is read once, also where it is a proxy", async () => {
    const { chats } = await start();
    let reads = 0;
    const messages = new Proxy(MESSAGES.map((each) => new Proxy(each, {})), {});
    const params = new Proxy({ messages, max_tokens: 1e308 }, { get: (target, key, self) => (reads++, Reflect.get(target, key, self)) });
    expect((await chats.create(params as unknown as ChatParams & { stream?: false })).choices[0]!.message.content).toBe(TEXT);
    expect(reads).toBe(2);
  });

  test("of large lists ends in an answer or an error", async () => {
    const { completions, backend } = await start();
    const stops = Array.from({ length: 1e5 }, (_, i) => `s${i}`);
    await expect(completions.create({ prompt: "a", stop: stops })).rejects.toMatchObject({ code: "bad-request" });
    await expect(completions.create({ prompt: new Array<number>(1e6).fill(3) })).rejects.toMatchObject({ code: "context-overflow" });
    await expect(completions.create({ prompt: "a", logit_bias: Object.fromEntries(stops.map((_, i) => [i, 1])) })).rejects.toMatchObject({ code: "bad-request" });
    await expect(completions.create({ prompt: "a", stop: ["x".repeat(1e6)] })).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining("1000 characters") });
    expect(backend.calls).toEqual([]);
  });
});

test("plainCopy copies plain data, without what is undefined, and leaves all else as it is", () => {
  const date = new Date(0);
  expect(plainCopy({ a: [1, { b: undefined, c: date }], ["__proto__"]: 3 })).toEqual({ a: [1, { c: date }], ["__proto__"]: 3 });
  expect(() => plainCopy(nested(MOST_LEVELS + 1))).toThrow("at most 128 levels");
  expect([isShallow(nested(MOST_LEVELS)), isShallow(nested(MOST_LEVELS + 1))]).toEqual([true, false]);
});

test.each<[unknown, string]>([[3n, "3n"], [Symbol("s"), "Symbol(s)"], [() => 1, "a function"], [undefined, "undefined"], [{ a: [1, null, "x"] }, '{"a":[1,null,"x"]}'], [NaN, "NaN"], ["a".repeat(1e6), `"${"a".repeat(79)}…`]])(
  "show tells of %s", (value, text) => expect(show(value)).toBe(text));
