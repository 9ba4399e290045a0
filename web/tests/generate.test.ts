import { describe, expect, test } from "vitest";
import { cutPrompt } from "../src/generate/chunks";
import { Conversations } from "../src/generate/conversations";
import { type Backends, generate, type Generation } from "../src/generate/generate";
import { PLAIN } from "../src/text/answer_format";
import { FakeBackend } from "./fake_backend";

const letters = (ids: readonly number[]): string => ids.map((id) => String.fromCharCode(97 + id)).join("");
const STOP = 25;
const ROOM = { context: 1000, overflow: "error", requestDraw: null, conversations: new Conversations(0) } as const;
const SAMPLING = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 0, stop: [STOP] };

/** These backends, each when the one before it has failed. */
function oneAfterTheOther(first: FakeBackend, ...others: FakeBackend[]): Backends {
  return {
    current: async () => first,
    replace: async (_, cause) => {
      const next = others.shift();
      if (!next) throw cause;
      return next;
    },
  };
}

/** Generates from the recital of `script`; gives the outcome, the text, the tokens, and the backend. */
async function run(script: number[], change: Partial<Generation> & { onToken?: (count: number) => void } = {}, backend = new FakeBackend(script)) {
  const tokens: number[] = [];
  let text = "";
  const generation: Generation = {
    ids: [1, 2, 3],
    sampling: SAMPLING,
    maxTokens: 100,
    ...ROOM,
    stopStrings: [],
    signal: new AbortController().signal,
    stepsInFlight: 4,
    ...change,
  };
  const outcome = await generate(oneAfterTheOther(backend), letters, generation, (token, piece) => {
    if (token !== null) tokens.push(token);
    text += piece.text;
    change.onToken?.(tokens.length);
  });
  return { backend, outcome, text, tokens };
}

describe("cutPrompt", () => {
  const lengths = (count: number, forced?: number[]) =>
    cutPrompt(Array.from({ length: count }, (_, i) => i), [4, 16], forced).map(({ ids, size }) => `${ids.length}/${size}`);

  test("takes the largest chunks, and the smallest step for each", () => {
    expect(lengths(1)).toEqual(["1/4"]);
    expect(lengths(16)).toEqual(["16/16"]);
    expect(lengths(37)).toEqual(["16/16", "16/16", "5/16"]);
  });

  test("keeps all ids in order", () => {
    const ids = Array.from({ length: 37 }, (_, i) => i);
    expect(cutPrompt(ids, [4, 16], [3, 16, 1, 16, 1]).flatMap((chunk) => chunk.ids)).toEqual(ids);
  });

  test("cuts as it is forced to", () => {
    expect(lengths(26, [7, 16, 3])).toEqual(["7/16", "16/16", "3/4"]);
  });

  test.each([[[1, 1]], [[3, 0]], [[17]], [[1.5, 1.5]], [[]]])("refuses chunks %j of 3 tokens", (forced) => {
    expect(() => lengths(3, forced)).toThrow(/expected lengths of 1 to 16 that add up to 3 tokens/);
  });
});

describe("generate", () => {
  test("ends at a stop token, which counts but has no text", async () => {
    const { outcome, text, tokens } = await run([0, 1, STOP, 2, 3]);
    expect(outcome).toMatchObject({ finishReason: "stop", completionTokens: 3 });
    expect([text, tokens]).toEqual(["ab", [0, 1, STOP]]);
  });

  test("ends at max_tokens and queues no step beyond", async () => {
    const { outcome, text, backend } = await run([0, 1, 2], { maxTokens: 5 });
    expect(outcome).toMatchObject({ finishReason: "length", completionTokens: 5 });
    expect(text).toBe("abcab");
    expect(backend.calls.filter((call) => call === "decode").length).toBe(4);
  });

  test("prefills in chunks, and runs the tail after the last alone", async () => {
    const { backend } = await run([STOP], { ids: Array.from({ length: 18 }, (_, i) => i), maxTokens: 1 });
    expect(backend.calls).toEqual(["start", "prefill 16/16", "prefill 2/4", "sample"]);
  });

  test.each([1, 2, 4, 7])("keeps %i steps in flight, and none when it is done", async (stepsInFlight) => {
    const { backend } = await run([0, 1, 2, 3, 4, 5, 6, 7, 8, STOP], { stepsInFlight });
    expect([backend.mostFlying, backend.flying]).toEqual([stepsInFlight, 0]);
  });

  test.each([1, 2, 4, 7])("with %i steps in flight runs one less after a stop, and shows none of them", async (stepsInFlight) => {
    const { backend, tokens } = await run([0, 1, 2, 3, 4, 5, 6, 7, STOP, 8, 9], { stepsInFlight });
    expect(tokens).toEqual([0, 1, 2, 3, 4, 5, 6, 7, STOP]);
    expect(backend.calls.filter((call) => call === "decode").length).toBe(8 + stepsInFlight - 1);
  });

  test("ends at a stop string across tokens, and shows no part of it", async () => {
    const { outcome, text } = await run([0, 1, 2, 3, 4], { stopStrings: ["cd"] });
    expect(outcome).toMatchObject({ finishReason: "stop", completionTokens: 4 });
    expect(text).toBe("ab");
  });

  test("shows text that was held back for a stop string that never came", async () => {
    expect((await run([0, 1, 2, STOP], { stopStrings: ["cz"] })).text).toBe("abc");
    expect((await run([0, 1, 2], { stopStrings: ["cz"], maxTokens: 3 })).text).toBe("abc");
  });

  test("computes of a second prompt only what the caches do not hold", async () => {
    const first = await run([7, 8, 9, STOP]);
    const second = await run([0, STOP], { ids: [1, 2, 3, 7, 8, 9, 4, 5] }, first.backend);
    expect(second.backend.calls.filter((call) => call.startsWith("start") || call.startsWith("prefill"))).toEqual(["start", "prefill 3/4", "start 6", "prefill 2/4"]);
    expect([first.outcome.cachedTokens, second.outcome.cachedTokens]).toEqual([0, 6]);
    const third = await run([0, STOP], { ids: [1, 2, 9] }, first.backend);
    expect([third.outcome.cachedTokens, third.backend.prompts.at(-1)]).toEqual([2, [1, 2, 9]]);
  });

  test("knows what the caches hold after an answer that was cut short", async () => {
    const aborter = new AbortController();
    const { backend } = await run([0, 1, 2, 3], { stepsInFlight: 1, signal: aborter.signal, onToken: (count) => count === 2 && aborter.abort() });
    // Token 0 was written to draw 1, and 1 to draw what came after the abort, 2.
    expect(backend.kept.shared([1, 2, 3, 0, 1, 2, 3])).toBe(5);
  });

  test("relies on nothing after a failure", async () => {
    const backend = new FakeBackend([0, 1, 2]);
    backend.failAt = 2;
    await expect(run([0], {}, backend)).rejects.toThrow("the GPU is gone");
    expect(backend.kept.shared([1, 2, 3, 0])).toBe(0);
  });

  test("begins with what the answer has to begin with, and goes on from there", async () => {
    const { tokens, text, backend } = await run([3, STOP], { format: { ...PLAIN, opening: [0, 1] } });
    expect([tokens, text, backend.prompts]).toEqual([[0, 1, 3, STOP], "abd", [[1, 2, 3, 0, 1]]]);
  });

  test("closes a thought whose budget is spent, and goes on behind it with what the caches hold", async () => {
    const format = { markers: { thoughtBegin: 20, thoughtEnd: 21 }, thinkingBudget: 2, closing: [21], opening: [] };
    const { tokens, outcome, backend } = await run([20, 0, 1, 2, 3, STOP], { format, stepsInFlight: 1 });
    // The first token tells that no label comes; the budget counts from then on.
    expect(tokens.slice(0, 5)).toEqual([20, 0, 1, 2, 21]);
    expect(outcome.thoughtTokens).toBe(2);
    expect(backend.prompts[1]).toEqual([1, 2, 3, 20, 0, 1, 2, 21]);
    expect(backend.calls).toContain("start 6");
  });

  test("ends where the context is full", async () => {
    const { outcome, tokens } = await run([0, 1], { context: 8 });
    expect([outcome.finishReason, tokens.length]).toEqual(["length", 5]);
  });

  test("goes on behind the newest half of the context where it may shift", async () => {
    const { outcome, tokens, backend } = await run([0, 1, 2, 3, 4, 5, 6], { context: 8, overflow: "shift", maxTokens: 9, stepsInFlight: 1, ids: [9, 8, 7] });
    expect([outcome.finishReason, tokens.length]).toEqual(["length", 9]);
    // Of 9 8 7 0 1 2 3 4 stay the first and the newest three.
    expect(backend.prompts.slice(0, 2)).toEqual([[9, 8, 7], [9, 2, 3, 4]]);
    expect(backend.calls).toContain("start 1");
  });

  test("stops when the signal fires, shows no surplus, and leaves nothing in flight", async () => {
    const aborter = new AbortController();
    const { outcome, tokens, backend } = await run([0, 1, 2], {
      signal: aborter.signal,
      onToken: (count) => count === 3 && aborter.abort(),
    });
    expect(outcome).toMatchObject({ finishReason: "stop", aborted: true, completionTokens: 3 });
    expect([tokens, backend.flying]).toEqual([[0, 1, 2], 0]);
  });

  test("gives out what it held back where the signal fires: half a call, or what might have become a stop string", async () => {
    const begun = async (script: number[], change: Partial<Generation>) => {
      const aborter = new AbortController();
      return (await run(script, { signal: aborter.signal, onToken: (count) => count === 3 && aborter.abort(), ...change })).text;
    };
    expect(await begun([0, 9, 1, 2], { format: { ...PLAIN, markers: { callBegin: 9, callEnd: 10 } } })).toBe("ab");
    expect(await begun([0, 1, 2, 3], { stopStrings: ["cd"] })).toBe("abc");
  });

  test("does nothing where the signal has fired before", async () => {
    const { outcome, backend } = await run([0], { signal: AbortSignal.abort() });
    expect(outcome).toMatchObject({ finishReason: "stop", aborted: true, completionTokens: 0 });
    expect(backend.calls).toEqual([]);
  });

  test("passes on what fails in the backend", async () => {
    const backend = new FakeBackend([0]);
    backend.failAt = 2;
    const sampling = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 0, stop: [] };
    const signal = new AbortController().signal;
    const answer = generate(oneAfterTheOther(backend), letters, { ids: [1], sampling, maxTokens: 9, stopStrings: [], signal, stepsInFlight: 4, ...ROOM }, () => undefined);
    await expect(answer).rejects.toThrow("the GPU is gone");
  });

  test("keeps no more in flight than the backend allows, so that none runs for nothing", async () => {
    const backend = new FakeBackend([0, 1, 2, STOP], { mostInFlight: 1 });
    const generation = { ids: [1, 2, 3], sampling: SAMPLING, maxTokens: 9, stopStrings: [], signal: new AbortController().signal, stepsInFlight: 4, ...ROOM };
    expect(await generate(oneAfterTheOther(backend), letters, generation, () => undefined)).toMatchObject({ finishReason: "stop", completionTokens: 4 });
    expect([backend.mostFlying, backend.calls.filter((call) => call === "decode").length]).toEqual([1, 3]);
  });

  test("goes on with the next backend from prompt and tokens where one fails, with no token twice and no text lost", async () => {
    const first = new FakeBackend([0, 1, 2, 3]);
    const second = new FakeBackend([4, 5, STOP], { prefillSizes: [64] });
    first.failAt = 3;
    const tokens: number[] = [];
    let text = "";
    const generation = { ids: [1, 2], sampling: SAMPLING, maxTokens: 9, stopStrings: ["ce"], signal: new AbortController().signal, stepsInFlight: 4, ...ROOM };
    const outcome = await generate(oneAfterTheOther(first, second), letters, generation, (token, piece) => {
      if (token !== null) tokens.push(token);
      text += piece.text;
    });
    // The first gives a, b, c; "c" is held back, since "ce" might come, and the second finds that it does: its own first is "e".
    expect([outcome.finishReason, tokens, text]).toEqual(["stop", [0, 1, 2, 4], "ab"]);
    expect(second.prompts).toEqual([[1, 2, 0, 1, 2]]);
    expect(second.calls.slice(0, 2)).toEqual(["start", "prefill 5/64"]);
    expect([first.flying, second.flying]).toEqual([0, 0]);
  });

  test("draws no more than max_tokens from two backends together", async () => {
    const [first, second] = [new FakeBackend([0]), new FakeBackend([1])];
    first.failAt = 2;
    const generation = { ids: [1], sampling: SAMPLING, maxTokens: 5, stopStrings: [], signal: new AbortController().signal, stepsInFlight: 4, ...ROOM };
    const outcome = await generate(oneAfterTheOther(first, second), letters, generation, () => undefined);
    expect(outcome).toMatchObject({ finishReason: "length", completionTokens: 5 });
    expect(second.calls.filter((call) => call === "decode").length).toBe(2);
  });

  test("ends with what it has where the signal fires while another backend is being loaded", async () => {
    const backend = new FakeBackend([0]);
    backend.failAt = 2;
    const aborter = new AbortController();
    const backends: Backends = {
      current: async () => backend,
      replace: () => {
        setTimeout(() => aborter.abort(), 5);
        return new Promise(() => undefined);
      },
    };
    const generation = { ids: [1], sampling: SAMPLING, maxTokens: 5, stopStrings: [], signal: aborter.signal, stepsInFlight: 4, ...ROOM };
    expect(await generate(backends, letters, generation, () => undefined)).toMatchObject({ finishReason: "stop", aborted: true, completionTokens: 2 });
  });
});
