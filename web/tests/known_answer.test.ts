import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { checkManifest } from "../src/artifact/check_manifest";
import { checkKnownAnswer } from "../src/known_answer/check";
import { knownFault, requireKnownAnswer } from "../src/known_answer/require";
import { AnsweringBackend, answeringManifest, IDS } from "./answering_backend";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { VOCABULARY } from "./fixture";

const manifest = await answeringManifest();
const answer = manifest.known_answer!;
const [[best], [, second]] = [answer.best[0]!, answer.best];
const OTHER = [...VOCABULARY.keys()].find((id) => answer.best.every(([each]) => each !== id))!;

let files: FakeFiles;
beforeEach(() => {
  files = new FakeFiles();
  vi.stubGlobal("navigator", { ...files.navigator, userAgent: "Browser 1" });
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
});
afterEach(() => vi.unstubAllGlobals());

describe("checkKnownAnswer", () => {
  test("takes every size of chunk and single tokens, and leaves nothing in the caches' account", async () => {
    const backend = new AnsweringBackend();
    const check = await checkKnownAnswer(backend, manifest, answer);
    expect(check).toMatchObject({ right: true, backend: "webgpu", adapter: "acme", browser: "Browser 1", activations: "float", variants: {}, module: null });
    expect(check.ways.map(({ name }) => name)).toEqual(["chunks of 16", "chunks of 64", "chunks of 4, then single tokens"]);
    expect(backend.calls.filter((call) => call === "decode").length).toBe(4);
    expect(backend.prompts.map((ids) => ids.length)).toEqual([IDS.length, IDS.length, IDS.length - 4]);
    expect(backend.kept.held.ids).toEqual([]);
  });

  test("takes both kinds of steps where there is one size of chunk", async () => {
    const check = await checkKnownAnswer(new AnsweringBackend({ prefillSizes: [64] }), manifest, answer);
    expect([check.right, check.ways.map(({ name }) => name)]).toEqual([true, ["chunks of 64", "chunks of 64, then single tokens"]]);
  });

  test.each([
    ["one of the best is off", (logits: Float32Array) => void (logits[best!]! += 0.01), /the logit of token/],
    ["two of them change places", (logits: Float32Array) => void ([logits[best!], logits[second![0]]] = [logits[second![0]]!, logits[best!]!]), /the logit of token/],
    ["another one is above them", (logits: Float32Array) => void (logits[OTHER] = 9), /not among the largest 16/],
    ["a small one is off", (logits: Float32Array) => void (logits[OTHER]! -= 0.1), /stripe/],
    ["one is no number", (logits: Float32Array) => void (logits[OTHER] = NaN), /./],
    ["all are zero", (logits: Float32Array) => void logits.fill(0), /./],
    ["one is infinite", (logits: Float32Array) => void (logits[best!] = Infinity), /./],
  ])("finds it where %s", async (_what, spoil, expected) => {
    const backend = new AnsweringBackend();
    backend.spoil = spoil;
    const { right, ways } = await checkKnownAnswer(backend, manifest, answer);
    expect(right).toBe(false);
    expect(ways[0]!.worst.what).toMatch(expected);
  });

  test.each(["decode", "tail of 16", "tail of 64"])("finds it where %s alone is wrong", async (step) => {
    const backend = new AnsweringBackend();
    backend.spoil = (logits, by) => void (by === step && (logits[best!]! += 1));
    const { right, ways } = await checkKnownAnswer(backend, manifest, answer);
    expect([right, ways.filter(({ worst }) => worst.found! - worst.expected > 0.01).length]).toEqual([false, 1]);
  });

  test("allows each form of activations its own tolerance", async () => {
    const wide = structuredClone(manifest);
    Object.assign(wide.known_answer!.tolerance, { best: { ...answer.tolerance.best, int8: 1 }, stripes: { ...answer.tolerance.stripes, int8: 1 } });
    const backend = new AnsweringBackend();
    backend.spoil = (logits) => void (logits[best!]! += 0.5);
    expect((await checkKnownAnswer(backend, wide, wide.known_answer!)).right).toBe(false);
    backend.activations = "int8";
    expect((await checkKnownAnswer(backend, wide, wide.known_answer!)).right).toBe(true);
  });
});

describe("requireKnownAnswer", () => {
  const require = (backend: AnsweringBackend) => requireKnownAnswer(backend, manifest, "float");

  test("computes nothing the second time, and again for another browser, adapter or variant", async () => {
    const [first, second] = [new AnsweringBackend(), new AnsweringBackend()];
    await require(first);
    await require(second);
    expect([first.info.known_answer!.source, second.info.known_answer!.source, second.calls]).toEqual(["computed", "remembered", []]);
    expect(second.info.known_answer!.check).toEqual(first.info.known_answer!.check);
    const [adapter, variant, browser] = [new AnsweringBackend(), new AnsweringBackend(), new AnsweringBackend()];
    adapter.info = { ...adapter.info, adapter: "other" };
    variant.info = { ...variant.info, kernels: { counts: {}, variants: { product: "wide" }, tuning: { source: "measured", kernels: 1, milliseconds: 1 } } };
    await require(adapter);
    await require(variant);
    vi.stubGlobal("navigator", { ...files.navigator, userAgent: "Browser 2" });
    await require(browser);
    for (const { info } of [adapter, variant, browser]) expect(info.known_answer!.source).toBe("computed");
  });

  test("takes variants back that are wrong, and says so", async () => {
    const backend = new AnsweringBackend();
    const kernels = { counts: {}, variants: { product: "wide" }, tuning: { source: "measured" as const, kernels: 1, milliseconds: 1 } };
    backend.info = { ...backend.info, kernels };
    backend.spoil = (logits) => void (logits[best!]! += 1);
    backend.withoutVariants = async () => {
      backend.spoil = () => undefined;
      backend.info = { ...backend.info, kernels: { ...kernels, variants: {} } };
      return true;
    };
    await require(backend);
    const { check, refused } = backend.info.known_answer!;
    expect([check.right, check.variants, refused!.right, refused!.variants]).toEqual([true, {}, false, { product: "wide" }]);
    expect(await knownFault(manifest, "webgpu", "acme", "float")).toBeNull();
  });

  test("refuses a backend that is wrong, with what it gave, and knows of it at the next load", async () => {
    const backend = new AnsweringBackend();
    backend.spoil = (logits) => void (logits[best!] = 1);
    const message = expect.stringMatching(new RegExp(`WebGPU \\(acme, in Browser 1, float activations, no variants of kernels\\) does not give .*chunks of 16, the logit of token ${best} is 1, expected`));
    await expect(require(backend)).rejects.toMatchObject({ code: "wrong-answers", message });
    expect(await knownFault(manifest, "webgpu", "acme", "float")).toMatch(/is 1, expected .* \(found at an earlier load\)$/);
    expect(await knownFault(manifest, "wasm", "acme", "float")).toBeNull();
    expect(await knownFault(manifest, "webgpu", "other", "float")).toBeNull();
    await require(new AnsweringBackend());
    expect(await knownFault(manifest, "webgpu", "acme", "float")).toBeNull();
  });

  test("asks nothing of a backend where the artifact has no answer", async () => {
    const backend = new AnsweringBackend();
    await requireKnownAnswer(backend, { ...manifest, known_answer: null }, "float");
    expect([backend.calls, backend.info.known_answer]).toEqual([[], null]);
  });
});

describe("the manifest's known answer", () => {
  const check = (change: object) => () => checkManifest({ ...manifest, adjust: null, known_answer: { ...answer, ...change } }, "model.json");

  test("is taken as it is, or null", () => {
    expect(check({})().known_answer).toEqual(answer);
    expect(checkManifest({ ...manifest, adjust: null, known_answer: null }, "model.json").known_answer).toBeNull();
  });

  test.each([
    [{ ids: [] }, "known_answer.ids"],
    [{ ids: [VOCABULARY.length] }, "known_answer.ids[0]"],
    [{ ids: [1.5] }, "known_answer.ids[0]"],
    [{ best: [[3, "high"]] }, "known_answer.best[0]"],
    [{ best: 3 }, "known_answer.best"],
    [{ stripes: [null] }, "known_answer.stripes[0]"],
    [{ layers: [[1]] }, "known_answer.layers[0]"],
    [{ tolerance: { ...answer.tolerance, best: { float: -1 } } }, "known_answer.tolerance.best.float"],
    [{ tolerance: { ...answer.tolerance, layers: [] } }, "known_answer.tolerance.layers"],
  ])("is refused by name: %j", (change, field) => {
    expect(check(change)).toThrow(field);
  });

  test("is missing in no artifact", () => {
    const { known_answer: _, ...rest } = manifest;
    expect(() => checkManifest(rest, "model.json")).toThrow('the key "known_answer" is missing');
  });
});
