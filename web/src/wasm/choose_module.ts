/** Which of an artifact's modules may run here, and with how many threads. */

import type { WasmModule, WasmProgram } from "../artifact/manifest";
import type { ActivationsRequest } from "../backend/backend";
import { GemletError } from "../errors";
import type { WasmFeatures } from "./features";

export interface ModuleRequest {
  /** All but "float" are "int16", which loses nothing that shows. */
  activations: ActivationsRequest | null;
  /** null: as many as the processor runs at once. */
  threads: number | null;
}

export interface ChosenModules {
  /** All do the same, but for how sums of float32 round; the first is the best guess. */
  modules: readonly WasmModule[];
  threads: number;
  threadsReason: string;
}

/**
 * Throws GemletError "no-backend" where this browser lacks what every module needs, "bad-request" where the artifact has no module that does what is
 * asked for, or serves fewer threads.
 */
export function chooseModules({ modules, stacks }: WasmProgram, request: ModuleRequest, features: WasmFeatures): ChosenModules {
  if (!features.simd) {
    throw new GemletError("no-backend", "this browser's WebAssembly has no SIMD; Chrome and Edge 91, Firefox 89 and Safari 16.4, or newer, have it");
  }
  const { count, reason } = countThreads(request.threads, stacks.threads, features);
  const activations = request.activations === "float" ? "float" : "int16";
  const usable = modules.filter((each) => each.activations === activations && each.threads === count > 1 && (each.simd === "simd128" || features.relaxed));
  if (usable.length === 0) {
    const threads = count > 1 ? "threads" : "one thread";
    throw new GemletError("bad-request", `activations: the artifact has no module for ${JSON.stringify(activations)} with ${threads} that runs in this browser`);
  }
  const isRelaxed = ({ simd }: WasmModule): number => Number(simd === "relaxed");
  return { modules: usable.toSorted((a, b) => isRelaxed(b) - isRelaxed(a)), threads: count, threadsReason: reason };
}

function countThreads(wanted: number | null, most: number, { threadless, processors }: WasmFeatures): { count: number; reason: string } {
  if (wanted !== null && wanted > most) throw new GemletError("bad-request", `threads: the artifact serves ${most} at most, found ${wanted}`);
  if (wanted === 1) return { count: 1, reason: "asked for" };
  if (threadless !== null) return { count: 1, reason: threadless };
  if (wanted !== null) return { count: wanted, reason: "asked for" };
  if (processors > most) return { count: most, reason: `the most that the artifact serves, of ${processors} that the processor runs at once` };
  return { count: processors, reason: "as many as the processor runs at once" };
}
