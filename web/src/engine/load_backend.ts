/** Brings weights and kernels of an artifact to a backend. */

import { fetchFile, fetchText } from "../artifact/fetching";
import type { Manifest } from "../artifact/manifest";
import { loadShards, neededShards } from "../artifact/shards";
import type { Backend, EmbeddingsRequest, KernelsRequest } from "../backend/backend";
import { throwIfAborted } from "../errors";

const MOST_REPORTS_PER_SECOND = 20;

/** How far a phase is. Kernels are compiled while weights, and then the tokenizer, are loaded. */
export interface Progress {
  phase: "manifest" | "tokenizer" | "kernels" | "weights";
  loaded: number;
  total: number;
  unit: "files" | "kernels" | "bytes";
}

/** What is loaded, and how. `folder`: the artifact's absolute address with a slash at its end. */
export interface BackendLoad {
  folder: string;
  manifest: Manifest;
  perLayerEmbeddings: EmbeddingsRequest;
  kernels: KernelsRequest;
  onProgress: (progress: Progress) => void;
}

/**
 * Makes a backend that was just chosen ready to answer. `afterWeights` runs beside the kernels' compilation when all weights are there: with both in memory
 * at once, the peak would be twice as high. Throws GemletError; the backend is unloaded then.
 */
export async function loadBackend(backend: Backend, load: BackendLoad, signal: AbortSignal, afterWeights?: () => Promise<unknown>): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    await backend.allocate(load.perLayerEmbeddings);
    await Promise.all([loadWeights(backend, load, either).then(afterWeights), loadKernels(backend, load, either)]);
    throwIfAborted(signal);
    await backend.complete();
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
  const text = (file: string): Promise<string> => fetchText(folder + file, signal);
  const response = (file: string): Promise<Response> => fetchFile(folder + file, signal);
  await backend.prepare({ manifest, text, response, onPart }, kernels);
}

async function loadWeights(backend: Backend, { folder, manifest, onProgress }: BackendLoad, signal: AbortSignal): Promise<void> {
  const sink = backend.weights;
  const total = neededShards(manifest, sink).reduce((sum, index) => sum + manifest.shards[index]!.bytes, 0);
  let loaded = 0;
  let reportedAt = 0;
  const onBytes = (count: number): void => {
    loaded += count;
    const now = performance.now();
    if (loaded < total && now - reportedAt < 1000 / MOST_REPORTS_PER_SECOND) return;
    reportedAt = now;
    onProgress({ phase: "weights", loaded, total, unit: "bytes" });
  };
  onBytes(0);
  await loadShards(manifest, folder, sink, onBytes, signal);
}
