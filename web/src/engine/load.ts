/** Loads an artifact: everything that a model needs to answer. */

import { addressIn } from "../artifact/addresses";
import { checkManifest } from "../artifact/check_manifest";
import { fetchJson, fetchText } from "../artifact/fetching";
import type { Manifest } from "../artifact/manifest";
import type { AskForRoom } from "../artifact/room";
import type { ActivationsRequest, Backend, BackendName, TuningRequest } from "../backend/backend";
import { chooseAfter, chooseBackend, type ChoiceRequest, otherBackend } from "../backend/choose";
import { GemletError, isBackendFailure } from "../errors";
import { ChatTemplate } from "../text/chat";
import { Tokenizer } from "../text/tokenizer";
import type { FallBack } from "./backend_slot";
import type { CoreOptions } from "./core";
import { checkLoadRequest } from "./check_load_request";
import { type BackendLoad, loadBackend, type Progress } from "./load_backend";
import type { StorageInfo } from "./load_weights";

export type { Progress };

/** `folder`: the artifact's absolute address, as `folderAddress` gives it. `activations` and `threads`: null for what suits the backend. */
export interface LoadRequest extends ChoiceRequest, CoreOptions {
  folder: string;
  tuning: TuningRequest;
  activations: ActivationsRequest | null;
  /** Name of the lock that the page's tab holds, where it shares the engine with others; null: it does not. */
  tab: string | null;
  /** Whether the page answers `storageFull`. */
  asksForRoom: boolean;
}

const TITLES: Record<BackendName, string> = { webgpu: "WebGPU", wasm: "WebAssembly" };

interface Text {
  tokenizer: Tokenizer;
  chat: ChatTemplate | null;
}

export interface Model extends Text {
  manifest: Manifest;
  backend: Backend;
  /** What the page asked for. */
  activations: ActivationsRequest;
  storage: StorageInfo;
  /** Null where nothing can take the backend's place. */
  fallBack: FallBack | null;
}

/** `askForRoom`: null where nobody can be asked. Throws GemletError; nothing of the model stays in memory then. */
export async function loadModel(
  request: LoadRequest,
  askForRoom: AskForRoom | null,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Model> {
  checkLoadRequest(request);
  if (!globalThis.crypto?.subtle) {
    throw new GemletError("no-backend", "this page came over plain http, where browsers offer nothing to check weights with (crypto.subtle); open it by https, or on localhost");
  }
  const { folder, perLayerEmbeddings, tuning, activations, knownAnswer } = request;
  onProgress({ phase: "manifest", loaded: 0, total: 1, unit: "files" });
  const address = addressIn(folder, "model.json");
  const manifest = checkManifest(await fetchJson(address, signal), address);
  onProgress({ phase: "manifest", loaded: 1, total: 1, unit: "files" });
  let storage!: StorageInfo;
  const onStorage = (info: StorageInfo): void => void (storage = info);
  const kernels = { tuning, activations: activations ?? "float" };
  const load: BackendLoad = { folder, manifest, perLayerEmbeddings, kernels, knownAnswer, askForRoom, onProgress, onStorage };

  let text: Promise<Text> | undefined;
  const loadTextOnce = (): Promise<Text> => (text ??= loadText(folder, manifest, onProgress, signal));
  const fallBackTo = (other: BackendName): FallBack => async (failure, ended) => {
    try {
      const next = await chooseAfter(failure, other, request, manifest);
      await loadBackend(next, load, ended, loadTextOnce);
      return next;
    } catch (error) {
      if (!(error instanceof GemletError) || error.code === "aborted") throw error;
      throw new GemletError(failure.code, `${failure.message}; ${TITLES[other]} cannot take over: ${error.message}`);
    }
  };
  const backend = await chooseBackend(request, manifest);
  // Who asks for one by name is told that it failed.
  const other = otherBackend(request, backend, manifest);
  const ready = async (): Promise<{ backend: Backend; fallBack: FallBack | null }> => {
    try {
      await loadBackend(backend, load, signal, loadTextOnce);
      return { backend, fallBack: other === "wasm" ? fallBackTo(other) : null };
    } catch (error) {
      if (other === null || !isBackendFailure(error)) throw error;
      return { backend: await fallBackTo(other)(error, signal), fallBack: null };
    }
  };
  const loaded = await ready();
  return { manifest, storage, activations: kernels.activations, ...loaded, ...(await loadTextOnce()) };
}

async function loadText(
  folder: string,
  manifest: Manifest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Text> {
  const { tokenizer: facts, chat_template } = manifest;
  const total = chat_template === null ? 1 : 2;
  onProgress({ phase: "tokenizer", loaded: 0, total, unit: "files" });
  const [file, source] = await Promise.all([
    fetchJson(addressIn(folder, facts.file), signal),
    chat_template === null ? null : fetchText(addressIn(folder, chat_template), signal),
  ]);
  const tokenizer = new Tokenizer(file, facts, source ?? "");
  const tokens = { bos_token: tokenizer.tokenText(facts.bos), eos_token: tokenizer.tokenText(facts.stop[0]) };
  const chat = source === null ? null : new ChatTemplate(source, tokenizer, tokens);
  onProgress({ phase: "tokenizer", loaded: total, total, unit: "files" });
  return { tokenizer, chat };
}
