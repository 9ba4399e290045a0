import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import { type BackendRequest, chooseAfter, chooseBackend } from "../src/backend/choose";
import { GemletError } from "../src/errors";
import { fakeGpu } from "./fake_gpu";
import { makeArtifact } from "./fixture";
import { wasmProgram } from "./wasm_fixture";

const { manifest: webgpu } = await makeArtifact("abc");
const both: Manifest = { ...webgpu, targets: ["webgpu", "wasm"], wasm: await wasmProgram(webgpu) };
const wasm: Manifest = { ...both, targets: ["wasm"] };
const unfit: Manifest = { ...both, wasm: { unfit: { memory_bytes: 2 ** 33, limit_bytes: 2 ** 32, context_that_fits: 64 } } };

const REQUEST = { activations: null, threads: null, perLayerEmbeddings: "auto", knownAnswer: "auto" } as const;

/** What is chosen where the browser has such a GPU: of hardware, in software, too small, or none. */
async function choose(manifest: Manifest, gpu: "hardware" | "software" | "small" | null, backend: BackendRequest = "auto") {
  const limits = gpu === "small" ? { maxStorageBufferBindingSize: 1 } : webgpu.limits;
  vi.stubGlobal("navigator", { hardwareConcurrency: 2, gpu: gpu === null ? undefined : fakeGpu(limits, [], [], gpu === "software").gpu });
  const { info } = await chooseBackend({ ...REQUEST, backend }, manifest);
  return [info.name, info.reason];
}

beforeEach(() => void vi.stubGlobal("isSecureContext", true));
afterEach(() => vi.unstubAllGlobals());

describe("chooseBackend", () => {
  test.each([
    [both, "hardware", "webgpu", /the browser offers a GPU/],
    [both, "software", "wasm", /WebGPU would compute on the processor too/],
    [both, "small", "wasm", /maxStorageBufferBindingSize: needed 1048576, offered 1/],
    [both, null, "wasm", /this browser has no WebGPU/],
    [webgpu, "software", "webgpu", /WebAssembly cannot run it: .* no wasm target/],
    [unfit, "software", "webgpu", /WebAssembly cannot run it: .*needs 8192 MiB/],
    [wasm, "hardware", "wasm", /no webgpu target/],
  ] as const)("takes by itself what runs best, and says why", async (manifest, gpu, name, reason) => {
    expect(await choose(manifest, gpu)).toEqual([name, expect.stringMatching(reason)]);
  });

  test.each([
    [webgpu, null, "no-backend", /^this browser has no WebGPU\. gemlet runs on/],
    [unfit, "small", "device-limits", /this GPU cannot run recital.* WebAssembly cannot run it either: recital needs 8192 MiB/],
    [{ ...wasm, wasm: unfit.wasm }, "hardware", "device-limits", /^recital needs 8192 MiB/],
  ] as const)("says all that is missing where nothing runs", async (manifest, gpu, code, message) => {
    await expect(choose(manifest, gpu)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test("takes what it is asked for, or says why it cannot", async () => {
    expect(await choose(both, "hardware", "wasm")).toEqual(["wasm", "asked for"]);
    expect(await choose(both, "software", "webgpu")).toEqual(["webgpu", "asked for"]);
    await expect(choose(webgpu, "hardware", "wasm")).rejects.toThrow(/no wasm target; compile it with --targets/);
    await expect(choose(wasm, "hardware", "webgpu")).rejects.toThrow(/no webgpu target; compile it with --targets/);
    await expect(choose(both, null, "cuda" as never)).rejects.toThrow('backend: expected "auto", "webgpu" or "wasm", found "cuda"');
  });
});

describe("chooseAfter", () => {
  test("gives the other backend, with the failure as its reason", async () => {
    vi.stubGlobal("navigator", { hardwareConcurrency: 2 });
    const failure = new GemletError("device-lost", "the GPU was lost (reset)");
    const after = await chooseAfter(failure, "wasm", { ...REQUEST, backend: "auto" }, both);
    expect(after.info).toMatchObject({ name: "wasm", reason: "WebGPU failed: the GPU was lost (reset)" });
    vi.stubGlobal("navigator", { hardwareConcurrency: 2, gpu: fakeGpu(webgpu.limits, [], [], true).gpu });
    const before = await chooseAfter(new GemletError("wrong-answers", "4 is 5"), "webgpu", { ...REQUEST, backend: "auto" }, both);
    expect(before.info).toMatchObject({ name: "webgpu", reason: "WebAssembly failed: 4 is 5" });
  });
});
