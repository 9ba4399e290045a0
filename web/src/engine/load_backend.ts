/** Brings weights and kernels of an artifact to a backend. */

import { addressIn } from "../artifact/addresses";
import { fetchFile, fetchText } from "../artifact/fetching";
import type { Manifest } from "../artifact/manifest";
import type { AskForRoom } from "../artifact/room";
import type { Backend, EmbeddingsRequest, KernelsRequest, KnownAnswerRequest } from "../backend/backend";
import { throwIfAborted } from "../errors";
import { requireKnownAnswer } from "../known_answer/require";
import { loadWeights, type StorageInfo } from "./load_weights";

/** How far a phase is. Kernels are compiled while weights, and then the tokenizer, are loaded. */
export interface Progress {
  phase: "manifest" | "tokenizer" | "kernels" | "weights";
  loaded: number;
  total: number;
  unit: "files" | "kernels" | "bytes";
}

/** What is loaded, and how. `folder`: the artifact's absolute address, as `folderAddress` gives it. */
export interface BackendLoad {
  folder: string;
  manifest: Manifest;
  perLayerEmbeddings: EmbeddingsRequest;
  kernels: KernelsRequest;
  knownAnswer: KnownAnswerRequest;
  /** Whether other models may go from the browser's storage; null: there is nobody to ask. */
  askForRoom: AskForRoom | null;
  onProgress: (progress: Progress) => void;
  /** Told once the weights are there where they came from. */
  onStorage: (storage: StorageInfo) => void;
}

/**
 * Makes a backend that was just chosen ready to answer. `afterWeights` runs beside the kernels' compilation when all weights are there: with both in memory
 * at once, the peak would be twice as high. Throws GemletError, "wrong-answers" where it does not give the model's known answer; the backend is unloaded then.
 */
export async function loadBackend(backend: Backend, load: BackendLoad, signal: AbortSignal, afterWeights?: () => Promise<unknown>): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    await backend.allocate(load.perLayerEmbeddings);
    await Promise.all([loadWeights(backend.weights, load, either).then(load.onStorage).then(afterWeights), loadKernels(backend, load, either)]);
    throwIfAborted(signal);
    await backend.complete();
    throwIfAborted(signal);
    if (load.knownAnswer === "auto") await requireKnownAnswer(backend, load.manifest, load.kernels.activations);
    throwIfAborted(signal);
  } catch (error) {
    failed.abort();
    await backend.unload();
    throw error;
  }
}

async function loadKernels(backend: Backend, { folder, manifest, kernels, onProgress }: BackendLoad, signal: AbortSignal): Promise<void> {
  const { total, unit } = backend.parts;
  let loaded = 0;
  const report = (): void => onProgress({ phase: "kernels", loaded, total, unit });
  report();
  const onPart = (): void => {
    loaded += 1;
    report();
  };
  const text = (file: string): Promise<string> => fetchText(addressIn(folder, file), signal);
  const response = (file: string): Promise<Response> => fetchFile(addressIn(folder, file), signal);
  await backend.prepare({ manifest, text, response, onPart }, kernels);
}
