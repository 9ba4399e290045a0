/**
 * Requests damaged at random, seeds fixed: each ends in an answer or in a GemletError, and the engine answers the next. Work is bounded by what the backend is asked
 * for. GEMLET_FUZZ_INPUTS=100000 npx vitest run tests/request_fuzz.test.ts is the long run.
 */

import { expect, test } from "vitest";
import type { ChatParams, CompletionParams } from "../src/engine/openai";
import { GemletError } from "../src/errors";
import { random } from "./random";
import { start, TEXT } from "./recital_engine";

const INPUTS = Number(import.meta.env["GEMLET_FUZZ_INPUTS"] ?? 1000);
const SEED = Number(import.meta.env["GEMLET_FUZZ_SEED"] ?? 16);

/** Tokens: an answer that nothing else ends fills it. */
const CONTEXT = 128;
const TOOL = { type: "function", function: { name: "f", description: "d", parameters: { type: "object", properties: { a: { type: "string" } } } } };
const SCHEMA = {
  type: "object",
  properties: { a: { type: "string", maxLength: 9, nullable: true }, b: { type: "array", items: { $ref: "#/$defs/n" }, maxItems: 3 }, c: { enum: ["x", 1, null] }, d: { anyOf: [{ type: "integer", minimum: 0 }, { type: "null" }] } },
  required: ["a"],
  $defs: { n: { type: "object", properties: { n: { $ref: "#/$defs/n" } } } },
};
const SOUND: Record<string, unknown>[] = [
  { prompt: "tea", max_tokens: 4, temperature: 0.5, seed: 3, stop: ["x", "in"], logit_bias: { 7: 2 }, logprobs: 2, return_token_ids: true },
  { prompt: [7, 8, 9], max_tokens: 4, top_k: 3, top_p: 0.9, min_p: 0.1, presence_penalty: 1, frequency_penalty: 1, repetition_penalty: 1.1, overflow: "shift", ignore_eos: true },
  { messages: [{ role: "system", content: "s" }, { role: "user", content: [{ type: "text", text: "tea?" }], name: "n" }], max_tokens: 3, logprobs: true, top_logprobs: 1, stream_options: { include_usage: true } },
  {
    messages: [
      { role: "user", content: "a" }, { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: '{"a": [1, 2.5]}' } }] },
      { role: "tool", tool_call_id: "1", content: "b" }, { role: "assistant", content: "c", reasoning_content: "r", tool_responses: [{ name: "f", response: { a: 1 } }] },
    ],
    tools: [TOOL], tool_choice: "none", chat_template_kwargs: { x: [1, { y: null }] }, max_completion_tokens: 3, continue_final_message: true,
  },
  { messages: [{ role: "user", content: "a" }], response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA, strict: true } }, max_tokens: 3 },
  { prompt: "a", regex: "the (tea|☕)[^x]{0,3}", max_tokens: 3 },
  { prompt: "a", grammar: 'root ::= "the" (x | "a")*\nx ::= [a-z]{1,3} " "?', max_tokens: 3 },
];
const TEXTS = ["", "a", "\0", "☕".repeat(50), "\ud800", "<|turn>", "__proto__", "constructor", "(".repeat(300), "[a", "root ::= root", "#/$defs/n", "a{1000000}", "x".repeat(20_000), "{".repeat(200), "9".repeat(400)];
const NUMBERS = [0, -1, 1, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308, NaN, Infinity, -0, 0.1, 40_000];

type Whole<Params> = Params & { stream?: false };
const isStream = (answer: object): answer is AsyncIterable<unknown> => Symbol.asyncIterator in answer;

function places(value: unknown, above: object[] = []): { holder: Record<string, unknown>; key: string; above: object[] }[] {
  if (typeof value !== "object" || value === null || above.includes(value) || above.length > 12) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).slice(0, 20).flatMap((key) => [{ holder, key, above: [...above, value] }, ...places(holder[key], [...above, value])]);
}

function damaged(seed: number): Record<string, unknown> {
  const draw = random(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(draw() * items.length)]!;
  const request = structuredClone(pick(SOUND));
  const odd = (above: object[]): unknown =>
    pick<() => unknown>([
      () => pick(NUMBERS), () => pick(TEXTS), () => null, () => undefined, () => true, () => [], () => ({}), () => 3n, () => Symbol("s"), () => () => 1, () => new Date(0), () => new Map([[1, 2]]),
      () => pick(above), () => JSON.parse('{"a":'.repeat(150) + "1" + "}".repeat(150)) as unknown, () => Array.from({ length: 3000 }, (_, i) => `${i}`), () => new Float32Array(3),
      () => Object.defineProperty({}, "a", { enumerable: true, get: () => { throw new Error("no"); } }), () => new Proxy(request, {}), () => Array.from({ length: 300 }, (_, i) => pick(SOUND)[i % 2 ? "messages" : "prompt"]),
    ])();
  const found = places(request);
  for (let left = draw() < 0.6 ? 1 : 3; left > 0; left--) {
    const { holder, key, above } = pick(found);
    const kind = draw();
    if (kind < 0.15) delete holder[key];
    else if (kind < 0.25) {
      const name = pick(["x", "type", "$ref", "anyOf", "role", "nullable", "enum", "stream", "minItems", "__proto__"]);
      Object.defineProperty(holder, name, { value: odd(above), enumerable: true, writable: true, configurable: true });
    }
    else if (kind < 0.35) Object.assign(request, structuredClone(pick(SOUND)));
    else if (kind < 0.5 && typeof holder[key] === "string") holder[key] = holder[key].slice(0, Math.floor(draw() * 9)) + pick(TEXTS);
    else holder[key] = odd(above);
  }
  return request;
}

test(`${INPUTS} damaged requests end in an answer or an error of the engine's`, async () => {
  const { chats, completions, backend } = await start({ context: CONTEXT });
  let answers = 0;
  for (let seed = SEED * 1_000_000; seed < SEED * 1_000_000 + INPUTS; seed++) {
    const request = damaged(seed);
    // These two together ask for an answer without end.
    if (request["ignore_eos"] === true) delete request["overflow"];
    const before = backend.calls.length;
    try {
      const asked = "messages" in request ? chats.create(request as unknown as Whole<ChatParams>) : completions.create(request as unknown as Whole<CompletionParams>);
      const answer: object = await asked;
      if (isStream(answer)) for await (const _ of answer);
      answers += 1;
    } catch (cause) {
      // A fake backend recites, whatever a mask allows.
      if (!/was drawn, which .* does not allow/.test((cause as Error).message)) expect(cause, `seed ${seed}`).toBeInstanceOf(GemletError);
    }
    expect(backend.calls.length - before, `seed ${seed}`).toBeLessThan(2 * CONTEXT);
  }
  expect(answers).toBeGreaterThan(INPUTS / 20);
  expect((await completions.create({ prompt: "a" })).choices[0]!.text).toBe(TEXT);
}, 60_000 + 60 * INPUTS);
