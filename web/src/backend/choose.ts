/** The one place that decides which backend runs an artifact. */

import type { Manifest } from "../artifact/manifest";
import { GemletError } from "../errors";
import { knownFault } from "../known_answer/require";
import { describe, type FoundAdapter, findAdapter, openDevice } from "../webgpu/device";
import { WebGpuBackend } from "../webgpu/webgpu_backend";
import { openWasm, type WasmRequest } from "../wasm/open_wasm";
import { PROCESSOR, WasmBackend } from "../wasm/wasm_backend";
import type { Backend, BackendName, KnownAnswerRequest } from "./backend";

export type BackendRequest = "auto" | BackendName;

export interface ChoiceRequest extends WasmRequest {
  backend: BackendRequest;
  knownAnswer: KnownAnswerRequest;
}

/** The other of the two, where the page has named none and the artifact has code for it: what can take the place of one that fails. */
export function otherBackend({ backend }: ChoiceRequest, { info: { name } }: Backend, manifest: Manifest): BackendName | null {
  const other = name === "webgpu" ? "wasm" : "webgpu";
  const has = other === "wasm" ? manifest.wasm !== null : hasWebGpu(manifest);
  return backend === "auto" && has ? other : null;
}

/**
 * "auto": WebGPU on a GPU, else WebAssembly, else WebGPU on an adapter that computes on the processor. Nothing is measured, and nothing downloaded. What gave
 * wrong answers at an earlier load comes last.
 * Throws GemletError "bad-request" for an unknown name, "no-backend" or "device-limits" where it cannot run here.
 */
export async function chooseBackend(request: ChoiceRequest, manifest: Manifest): Promise<Backend> {
  switch (request.backend) {
    case "auto":
      return chooseAutomatically(request, manifest);
    case "webgpu":
      return webGpu(manifest, await adapterFor(manifest), "asked for");
    case "wasm":
      return new WasmBackend(openWasm(manifest, request), manifest, "asked for");
    default:
      throw new GemletError("bad-request", `backend: expected "auto", "webgpu" or "wasm", found ${JSON.stringify(request.backend)}`);
  }
}

/** The other backend in place of the one that has failed. Throws GemletError where it cannot run here. */
export async function chooseAfter(failure: GemletError, other: BackendName, request: ChoiceRequest, manifest: Manifest): Promise<Backend> {
  if (other === "wasm") return new WasmBackend(openWasm(manifest, request), manifest, `WebGPU failed: ${failure.message}`);
  return webGpu(manifest, await adapterFor(manifest), `WebAssembly failed: ${failure.message}`);
}

async function chooseAutomatically(request: ChoiceRequest, manifest: Manifest): Promise<Backend> {
  const adapter = await attempt(() => adapterFor(manifest));
  let refusal = adapter instanceof GemletError ? adapter.message : "WebGPU would compute on the processor too, which takes longer";
  const fault = async (name: BackendName, hardware: string): Promise<string | null> =>
    request.knownAnswer === "off" ? null : knownFault(manifest, name, hardware, request.activations ?? "float");
  const gpuFault = adapter instanceof GemletError ? null : await fault("webgpu", describe(adapter.adapter.info));
  if (gpuFault !== null) refusal = gpuFault;
  else if (!(adapter instanceof GemletError) && !adapter.software) {
    const backend = await attempt(() => webGpu(manifest, adapter, "the browser offers a GPU"));
    if (!(backend instanceof GemletError)) return backend;
    refusal = backend.message;
  }
  const wasm = await attempt(async () => new WasmBackend(openWasm(manifest, request), manifest, refusal));
  // Where both were wrong, WebAssembly is tried again: something may have changed.
  const wasmFault = adapter instanceof GemletError || gpuFault !== null ? null : await fault("wasm", PROCESSOR);
  if (wasm instanceof WasmBackend && wasmFault === null) return wasm;
  if (!(adapter instanceof GemletError)) return webGpu(manifest, adapter, wasm instanceof WasmBackend ? wasmFault! : `WebAssembly cannot run it: ${wasm.message}`);
  if (wasm instanceof WasmBackend) return wasm;
  if (manifest.wasm === null) throw adapter;
  if (!hasWebGpu(manifest)) throw wasm;
  throw new GemletError(adapter.code, `${adapter.message} WebAssembly cannot run it either: ${wasm.message}`);
}

function hasWebGpu(manifest: Manifest): boolean {
  return manifest.targets.includes("webgpu");
}

async function adapterFor(manifest: Manifest): Promise<FoundAdapter> {
  if (!hasWebGpu(manifest)) throw new GemletError("no-backend", `the artifact ${manifest.name} has no webgpu target; compile it with --targets webgpu,wasm`);
  return findAdapter(manifest);
}

async function webGpu(manifest: Manifest, adapter: FoundAdapter, reason: string): Promise<Backend> {
  return new WebGpuBackend(await openDevice(manifest, adapter), manifest, reason);
}

/** What it gives, or the GemletError that it throws. */
async function attempt<T>(work: () => Promise<T>): Promise<T | GemletError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof GemletError) return error;
    throw error;
  }
}
