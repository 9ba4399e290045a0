/** Loads an artifact: everything that a model needs to answer. */

import { checkManifest } from "../artifact/check_manifest";
import { fetchJson, fetchText } from "../artifact/fetching";
import { type Manifest, weightBytes } from "../artifact/manifest";
import { loadShards } from "../artifact/shards";
import type { ActivationsRequest, Backend, EmbeddingsRequest, KernelsRequest, TuningRequest } from "../backend/backend";
import { type BackendRequest, chooseBackend } from "../backend/choose";
import { throwIfAborted } from "../errors";
import { ChatTemplate } from "../text/chat";
import { Tokenizer } from "../text/tokenizer";
import { checkLoadRequest } from "./check_load_request";

const MOST_REPORTS_PER_SECOND = 20;

/** How far a phase is. Kernels are compiled while weights, and then the tokenizer, are loaded. */
export interface Progress {
  phase: "manifest" | "tokenizer" | "kernels" | "weights";
  loaded: number;
  total: number;
  unit: "files" | "kernels" | "bytes";
}

/** `folder`: the artifact's absolute address with a slash at its end. */
export interface LoadRequest {
  folder: string;
  backend: BackendRequest;
  perLayerEmbeddings: EmbeddingsRequest;
  tuning: TuningRequest;
  activations: ActivationsRequest;
  stepsInFlight: number;
}

export interface Model {
  manifest: Manifest;
  tokenizer: Tokenizer;
  chat: ChatTemplate | null;
  backend: Backend;
}

/** Throws GemletError; nothing stays on the GPU then. */
export async function loadModel(
  request: LoadRequest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Model> {
  checkLoadRequest(request);
  const { folder } = request;
  onProgress({ phase: "manifest", loaded: 0, total: 1, unit: "files" });
  const address = `${folder}model.json`;
  const manifest = checkManifest(await fetchJson(address, signal), address);
  onProgress({ phase: "manifest", loaded: 1, total: 1, unit: "files" });
  const backend = await chooseBackend(request.backend, manifest);
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    await backend.allocate(request.perLayerEmbeddings);
    // Text after weights: with both in memory at once, the peak would be twice as high.
    const [text] = await Promise.all([
      loadWeights(folder, manifest, backend, onProgress, either).then(() => loadText(folder, manifest, onProgress, either)),
      loadKernels(folder, manifest, backend, request, onProgress, either),
    ]);
    throwIfAborted(signal);
    await backend.tune();
    throwIfAborted(signal);
    return { manifest, backend, ...text };
  } catch (error) {
    failed.abort();
    backend.unload();
    throw error;
  }
}

async function loadText(
  folder: string,
  manifest: Manifest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<{ tokenizer: Tokenizer; chat: ChatTemplate | null }> {
  const { tokenizer: facts, chat_template } = manifest;
  const total = chat_template === null ? 1 : 2;
  onProgress({ phase: "tokenizer", loaded: 0, total, unit: "files" });
  const [file, source] = await Promise.all([
    fetchJson(folder + facts.file, signal),
    chat_template === null ? null : fetchText(folder + chat_template, signal),
  ]);
  const tokenizer = new Tokenizer(file, facts, source ?? "");
  const tokens = { bos_token: tokenizer.tokenText(facts.bos), eos_token: tokenizer.tokenText(facts.stop[0]) };
  const chat = source === null ? null : new ChatTemplate(source, tokenizer, tokens);
  onProgress({ phase: "tokenizer", loaded: total, total, unit: "files" });
  return { tokenizer, chat };
}

async function loadKernels(
  folder: string,
  manifest: Manifest,
  backend: Backend,
  request: KernelsRequest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const total = manifest.kernels.length;
  let loaded = 0;
  const report = (): void => onProgress({ phase: "kernels", loaded, total, unit: "kernels" });
  report();
  const onKernel = (): void => {
    loaded += 1;
    report();
  };
  await backend.prepare({ manifest, text: (file) => fetchText(folder + file, signal), onKernel }, request);
}

async function loadWeights(
  folder: string,
  manifest: Manifest,
  backend: Backend,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const total = weightBytes(manifest);
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
  await loadShards(manifest, folder, backend.weights, onBytes, signal);
}
