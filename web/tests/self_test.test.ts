import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { walkLayers } from "../src/backend/layer_walk";
import { Core } from "../src/engine/core";
import { knownFault } from "../src/known_answer/require";
import { Tokenizer } from "../src/text/tokenizer";
import { AnsweringBackend, answeringManifest, IDS } from "./answering_backend";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { TOKENIZER_FACTS, tokenizerFile } from "./fixture";

const manifest = await answeringManifest();
const [[best]] = [manifest.known_answer!.best[0]!];
const STORAGE = { place: "files", network_bytes: 0, stored_bytes: 64, persistent: false, note: null } as const;

let files: FakeFiles;
beforeEach(() => {
  files = new FakeFiles();
  vi.stubGlobal("navigator", { ...files.navigator, userAgent: "Browser 1" });
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
});
afterEach(() => vi.unstubAllGlobals());

function start(knows = true) {
  const backend = new AnsweringBackend();
  const tokenizer = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS);
  const known = knows ? manifest : { ...manifest, known_answer: null };
  const model = { manifest: known, tokenizer, chat: null, backend, storage: STORAGE, activations: "float", fallBack: null } as const;
  return { backend, core: new Core(model, { stepsInFlight: 1, conversationMemory: 1000 }, () => undefined) };
}

describe("selfTest", () => {
  test("computes each time, and tells of a right device all that an issue needs", async () => {
    const { backend, core } = start();
    const report = await core.selfTest({});
    expect(report).toMatchObject({ right: true, layers: null, first_wrong_layer: null, check: { right: true } });
    for (const words of ["came out", "model: recital (f32)", /SHA-256 [0-9a-f]{64}/, "backend: webgpu, acme, float activations", "browser: Browser 1", "chunks of 16: right"]) {
      expect(report.text).toMatch(words);
    }
    const calls = backend.calls.length;
    await core.selfTest({});
    expect(backend.calls.length).toBe(2 * calls);
    expect(core.info.backend.known_answer).toMatchObject({ source: "computed", check: { right: true } });
  });

  test("tells what is wrong, and lets the next load know", async () => {
    const { backend, core } = start();
    backend.spoil = (logits) => void (logits[best!] = NaN);
    const report = await core.selfTest({});
    expect([report.right, report.check.right]).toEqual([false, false]);
    expect(report.text).toMatch(new RegExp(`did not come out[^]*WRONG: the logit of token ${best} is no number, expected`));
    expect(await knownFault(manifest, "webgpu", "acme", "float")).toMatch(/no number/);
  });

  test.each([[0, 3], [1, null]])("names the first layer that is wrong: %i is the number of right values", async (rms, first) => {
    const { backend, core } = start();
    const tolerance = { float: 0.1, float16: 0.1, int16: 0.1, int8: 0.1 };
    const layers = [[2, 2], [2, 2], [2, 2], [2, 2]];
    Object.assign(manifest.known_answer!, { layers, tolerance: { ...manifest.known_answer!.tolerance, layers: layers.map(() => tolerance) } });
    const right = Float32Array.of(2);
    backend.layers = async () => [right, null, right, rms === 1 ? right : Float32Array.of(3)];
    const report = await core.selfTest({ layers: true });
    expect(report.layers!.map(({ right }) => right)).toEqual([true, true, true, rms === 1]);
    expect([report.first_wrong_layer, report.right]).toEqual([first, rms === 1]);
    expect(report.text).toMatch(rms === 1 ? /all 3 layers that can be seen are right; not seen: 1/ : /layer 3 is the first that is wrong[^]*3: WRONG: /);
  });

  test("leaves conversations that are kept, and refuses while anything is under way", async () => {
    const { core } = start();
    await core.logits({ ids: [2, 9, 9, 9] });
    const both = [core.logits({ ids: [2, 9, 9, 9, 8] }), core.selfTest({})];
    await expect(both[1]).rejects.toMatchObject({ code: "bad-request", message: expect.stringMatching(/^selfTest: an answer is being written/) });
    await both[0];
    await core.selfTest({});
    const request = { kind: "completion", params: { prompt: [2, 9, 9, 9, 8, 7], max_tokens: 1 } } as const;
    const { cachedTokens } = await core.generate({ ...request, params: { ...request.params, prompt: [...request.params.prompt] } }, () => undefined, () => undefined, new AbortController().signal);
    expect(cachedTokens).toBe(5);
  });

  test("is refused where nothing is known, or asked in a wrong way", async () => {
    await expect(start(false).core.selfTest({})).rejects.toMatchObject({ code: "bad-request", message: /knows no answer/ });
    await expect(start().core.selfTest({ layers: 1 } as never)).rejects.toMatchObject({ code: "bad-request", message: "layers: expected true or false, found 1" });
    await expect(start().core.selfTest(3 as never)).rejects.toMatchObject({ code: "bad-request" });
  });
});

describe("walkLayers", () => {
  const walk = (ends: Parameters<typeof walkLayers>[0], sizes: number[]) => {
    const calls: string[] = [];
    return walkLayers(ends, IDS, sizes, {
      prefill: async ({ ids, size }) => void calls.push(`prefill ${ids.length}/${size}`),
      begin: ({ ids, size }) => void calls.push(`begin ${ids.length}/${size}`),
      run: (step, first, last) => void calls.push(`${step} ${first}-${last ?? ""}`),
      read: async ({ launches }, row) => {
        calls.push(`read row ${row}`);
        return Float32Array.of(launches);
      },
    }).then((found) => ({ found: found.map((each) => each && each[0]), calls }));
  };

  test("halts a chunk behind each layer, runs it to its end, and goes on in the tail", async () => {
    const row_bytes = 28;
    const ends = [{ step: "prefill_16", launches: 5, row_bytes }, { step: "prefill_16", launches: 9, row_bytes }, null, { step: "tail", launches: 4, row_bytes }];
    expect(await walk(ends, [4, 16])).toEqual({
      found: [5, 9, null, 4],
      calls: ["begin 7/16", "prefill_16 0-5", "read row 6", "prefill_16 5-9", "read row 6", "prefill_16 9-", "tail 0-4", "read row 0"],
    });
  });

  test("runs all chunks but the last whole", async () => {
    const { calls } = await walk([{ step: "prefill_4", launches: 5, row_bytes: 28 }], [4]);
    expect(calls).toEqual(["prefill 4/4", "begin 3/4", "prefill_4 0-5", "read row 2"]);
  });
});
