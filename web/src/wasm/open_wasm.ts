/** Finds out whether WebAssembly can run an artifact here, and gets the memory for it, before anything is downloaded. */

import { PAGE_BYTES } from "../artifact/check_wasm";
import type { Manifest, WasmProgram } from "../artifact/manifest";
import type { EmbeddingsRequest } from "../backend/backend";
import { GemletError } from "../errors";
import { type ChosenModules, chooseModules, type ModuleRequest } from "./choose_module";
import { findFeatures, type WasmFeatures } from "./features";

export interface OpenWasm extends ChosenModules {
  program: WasmProgram;
  memory: WebAssembly.Memory;
}

export interface WasmRequest extends ModuleRequest {
  perLayerEmbeddings: EmbeddingsRequest;
}

/**
 * Throws GemletError "no-backend" where the artifact has no such target or the browser lacks what it needs, "device-limits" where the memory is too
 * small, with what would fit, and "bad-request" where something is asked for that WebAssembly has not.
 */
export function openWasm(manifest: Manifest, request: WasmRequest, features: WasmFeatures = findFeatures()): OpenWasm {
  const { name, wasm } = manifest;
  if (wasm === null) throw new GemletError("no-backend", `the artifact ${name} has no wasm target; compile it with --targets webgpu,wasm`);
  if ("unfit" in wasm) {
    const { memory_bytes, limit_bytes, context_that_fits: fits } = wasm.unfit;
    const advice = fits > 0 ? `With a context of ${fits} tokens it would fit: compile it with --context ${fits}` : "No context would make it fit: take a smaller model, or a coarser --quant";
    throw new GemletError("device-limits", `${name} needs ${mebibytes(memory_bytes)} of WebAssembly's memory, which holds ${mebibytes(limit_bytes)} at most. ${advice}`);
  }
  if (request.perLayerEmbeddings === "storage") {
    throw new GemletError("bad-request", 'perLayerEmbeddings: "storage" is not supported by WebAssembly, where kernels read the tables in memory; load with "auto"');
  }
  const chosen = chooseModules(wasm, request, features);
  return { ...chosen, program: wasm, memory: createMemory(name, wasm.memory_bytes, chosen.threads > 1) };
}

/** It never grows, so the least is the most: some browsers set the most aside at once. */
function createMemory(name: string, bytes: number, shared: boolean): WebAssembly.Memory {
  const pages = bytes / PAGE_BYTES;
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const advice = "Close other tabs, or take a smaller model or one that was compiled with a smaller context";
    throw new GemletError("device-limits", `the browser did not give the ${bytes} bytes (${mebibytes(bytes)}) of memory that ${name} needs: ${cause.message}. ${advice}`);
  }
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
