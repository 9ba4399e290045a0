/** What a GPU refuses, or its loss, ends what waits for it with an error, and is never taken for a result. */

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import type { ArtifactSource, KernelsRequest } from "../src/backend/backend";
import { WebGpuBackend } from "../src/webgpu/webgpu_backend";
import { FakeDevice } from "./fake_gpu";
import { makeArtifact } from "./fixture";

const { manifest } = await makeArtifact("abc");
const GREEDY = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 0, stop: [] };
const PLAIN: KernelsRequest = { tuning: "off", activations: "float" };
const REFUSED = { message: "buffer \"logits\" was destroyed", filter: "validation" } as const;
const FULL = { message: "no room", filter: "out-of-memory" } as const;

beforeAll(() => {
  vi.stubGlobal("GPUBufferUsage", { STORAGE: 1, COPY_SRC: 2, COPY_DST: 4, MAP_READ: 8 });
  vi.stubGlobal("GPUMapMode", { READ: 1 });
});
afterAll(() => vi.unstubAllGlobals());

const source = (each: Manifest, text = "fn main() {}"): ArtifactSource => ({
  manifest: each, text: async (file) => (file.includes("broken") ? "no WGSL" : text), response: async () => new Response(), onPart: () => undefined,
});

function open(each = manifest): { device: FakeDevice; backend: WebGpuBackend } {
  const device = new FakeDevice();
  const opened = { device: device.asGpu(), adapter: "acme", identity: "acme", software: false, offered: new Set<string>() };
  return { device, backend: new WebGpuBackend(opened, each, "asked for") };
}

async function load(each = manifest) {
  const { device, backend } = open(each);
  await backend.allocate("auto");
  await backend.prepare(source(each), PLAIN);
  await backend.complete();
  backend.start(GREEDY, 0);
  return { device, backend };
}

const chunk = (ids: number[]) => ({ ids, blocks: ids.map(() => 0), size: 4 });

describe("a step that the GPU drops", () => {
  test("is an error of the chunk, where the step runs for the first time", async () => {
    const { device, backend } = await load();
    device.refusals.set("submit", REFUSED);
    await expect(backend.prefill(chunk([1]))).rejects.toMatchObject({ code: "gpu-error", message: expect.stringMatching(/refused the step prefill_4: buffer "logits"/) });
    expect(device.submits).toBe(0);
  });

  test.each(["sample", "decode", "logits"] as const)("is an error of %s, the first time and later, and all that follows is refused at once", async (step) => {
    for (const before of [0, 1, 2]) {
      const { device, backend } = await load();
      await backend.prefill(chunk([1]));
      for (let i = 0; i < before; i++) await backend[step]();
      device.refusals.set("submit", REFUSED);
      await expect(backend[step]()).rejects.toMatchObject({ code: "gpu-error", message: expect.stringContaining('buffer "logits" was destroyed') });
      device.refusals.clear();
      await expect(async () => backend.decode()).rejects.toMatchObject({ code: "gpu-error" });
    }
  });

  test("is an error of adjusted draws, too", async () => {
    const each = structuredClone(manifest);
    const adjusted = { decode_logits: each.steps["decode"]!.slice(0, -1), sample_adjusted: each.steps["sample"]! };
    Object.assign(each, { adjust: { adjustments: 2, mask: 2 }, steps: { ...each.steps, ...adjusted } });
    const { device, backend } = await load(each);
    await backend.prefill(chunk([1]));
    const request = { adjustment: { words: Int32Array.of(0, 0), mask: null }, logits: true };
    await backend.sample(request);
    device.refusals.set("submit", REFUSED);
    await expect(backend.decode(request)).rejects.toMatchObject({ code: "gpu-error", message: expect.stringContaining("the step decode_logits adjusted") });
  });
});

describe("memory that the GPU does not give", () => {
  test("for longer caches ends the draw that needs them", async () => {
    const { device, backend } = await load();
    backend.start(GREEDY, 1019);
    await backend.prefill(chunk([1, 2]));
    device.refusals.set("buffer", FULL);
    await expect(backend.prefill(chunk([3]))).rejects.toMatchObject({ code: "gpu-error", message: expect.stringMatching(/refused memory for \d+ tokens: no room/) });
  });

  test("for the model ends the load with what was needed", async () => {
    const { device, backend } = open();
    device.refusals.set("buffer", FULL);
    await expect(backend.allocate("auto")).rejects.toMatchObject({ code: "gpu-error", message: expect.stringMatching(/did not give the 1 MiB.*no room/) });
    expect(device.buffers.every(({ destroyed }) => destroyed)).toBe(true);
  });
});

describe("a load", () => {
  test("ends where the GPU has no memory for a shader, by the kernel's name", async () => {
    const { device, backend } = open();
    await backend.allocate("auto");
    device.refusals.set("shader", { message: "no room", filter: "out-of-memory" });
    await expect(backend.prepare(source(manifest), PLAIN)).rejects.toMatchObject({ code: "gpu-error", message: expect.stringContaining("the kernel write does not compile") });
  });

  test("ends where buffers do not fit their kernels", async () => {
    const { device, backend } = open();
    await backend.allocate("auto");
    device.refusals.set("bind group", REFUSED);
    await expect(backend.prepare(source(manifest), PLAIN)).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining("was destroyed") });
  });

  test("goes on without a variant that the GPU does not compile", async () => {
    const each = structuredClone(manifest);
    each.kernels[0]!.variants = [{ ...each.kernels[0]!, name: "broken", file: "webgpu/broken.wgsl", grid: [1, 1, 1], requires: ["subgroups"], exact: true }];
    const device = new FakeDevice();
    const opened = { device: device.asGpu(), adapter: "acme", identity: "acme", software: false, offered: new Set(["subgroups"]) };
    const backend = new WebGpuBackend(opened, each, "asked for");
    await backend.allocate("auto");
    await backend.prepare(source(each), { tuning: { milliseconds: 0 }, activations: "float" });
    backend.start(GREEDY, 0);
    await backend.prefill(chunk([1]));
    expect(device.submits).toBe(1);
  });

  test("ends where the GPU is lost while weights come, whatever is still to be measured", async () => {
    const { device, backend } = open();
    await backend.allocate("auto");
    await backend.prepare(source(manifest), PLAIN);
    device.lose({ message: "reset" });
    await expect(backend.complete()).rejects.toMatchObject({ code: "device-lost", message: expect.stringContaining("reset") });
  });
});

describe("a GPU that is lost, or unloaded", () => {
  test.each(["prefill", "sample", "logits"] as const)("ends %s although the device never answers", async (step) => {
    const { device, backend } = await load();
    device.isAlive = false;
    const waiting = step === "prefill" ? backend.prefill(chunk([1])) : backend[step]();
    device.lose({ message: "" });
    await expect(waiting).rejects.toMatchObject({ code: "device-lost", message: "the GPU was lost (no reason given)" });
  });

  test("ends what is under way when it is unloaded", async () => {
    const { device, backend } = await load();
    device.isAlive = false;
    const waiting = backend.sample();
    await Promise.all([backend.unload(), expect(waiting).rejects.toMatchObject({ code: "unloaded" })]);
  });
});
