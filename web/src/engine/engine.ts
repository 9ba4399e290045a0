/** The public engine: starts the worker and speaks OpenAI's shapes. */

import type { ActivationsRequest, BackendInfo, EmbeddingsRequest, TuningRequest } from "../backend/backend";
import type { BackendRequest } from "../backend/choose";
import { GemletError } from "../errors";
import { STEPS_IN_FLIGHT } from "../generate/generate";
import { type ChatCompletions, chatCompletions, type TextCompletions, textCompletions } from "./completions";
import type { EngineInfo } from "./core";
import type { Progress } from "./load";
import { RpcClient } from "./rpc";

/** Milliseconds. */
const LONGEST_UNLOAD = 3000;

export interface LoadOptions {
  /**
   * Default "auto": WebGPU on a GPU; without one, or where it fails, also in the midst of an answer, WebAssembly; and WebGPU on an adapter in software where
   * the artifact has nothing else. `info.backend.reason` tells why it was which.
   */
  backend?: BackendRequest;
  /**
   * Where per-layer embeddings (a table of which a token reads one row) lie: in GPU memory ("gpu"), or in files that the browser keeps for
   * this site ("storage"), which takes no GPU memory and costs a wait for each token. Default "auto": GPU memory where it has the room. On WebAssembly they
   * lie in its memory with all other weights; "storage" is an error there.
   */
  perLayerEmbeddings?: EmbeddingsRequest;
  /**
   * Some kernels come in several launch shapes, or in variants for what only some devices can. "auto", the default, takes the fastest here, measured for
   * at most 0.3 s of the first load and remembered for the next; "off" runs every kernel as it is on all devices. `{ milliseconds }` measures anew, for at
   * most so long. `{ variant: 0 }` is for tests.
   */
  tuning?: TuningRequest;
  /**
   * "int8", "float16": WebGPU rounds activations around the products of a prompt to 8 bits, or to float16, if the GPU multiplies these faster; WebAssembly
   * takes "int16" for both. "int16": to 14 bits, in integers of 16, which changes logits by about a thousandth; on WebAssembly alone, and its default.
   * "float": never; WebGPU's default.
   */
  activations?: ActivationsRequest;
  /**
   * Threads that compute on WebAssembly, 1 or more. Default: as many as the processor runs at once. More than one need a page that is cross-origin
   * isolated; elsewhere it is one, and `info.backend.module.threads_reason` says so.
   */
  threads?: number;
  /**
   * Tokens that the GPU may work on ahead of the newest that has been seen, 1 or more. Default 4. After a stop up to one less than that
   * are computed for nothing, and never shown. The text is the same with every number; 1 waits for each token, which is of use to compare.
   */
  stepsInFlight?: number;
  /** Told how the loading goes on; also of what is loaded later, when another backend takes over. */
  onProgress?: (progress: Progress) => void;
  /** Told of a backend that has taken over, since the GPU was lost or failed. `info.backend` is that one then. */
  onBackend?: (backend: BackendInfo) => void;
  /** Ends the loading with GemletError "aborted". */
  signal?: AbortSignal;
}

export class Engine {
  /** `chat.completions.create` answers a conversation by the model's own chat template. */
  readonly chat: { completions: ChatCompletions };
  /** `completions.create` continues a text or a list of token ids. */
  readonly completions: TextCompletions;

  /** The model, its licence, its limits, and what runs it. */
  info: EngineInfo;

  private constructor(
    info: EngineInfo,
    private readonly worker: Worker,
    private readonly rpc: RpcClient,
  ) {
    this.info = info;
    this.chat = { completions: chatCompletions(rpc, info.name) };
    this.completions = textCompletions(rpc, info.name);
  }

  /**
   * Loads the artifact in `folder` (an address, relative to the page) into a worker of its own.
   *
   * Throws GemletError: "network" and "bad-artifact" name the file; "no-backend" and "device-limits" say what is missing
   * here, before anything large is downloaded; "gpu-error" names the kernel; "storage" where the browser keeps no files for this site, or no more; "bad-request"; "aborted".
   */
  static async load(folder: string, options: LoadOptions = {}): Promise<Engine> {
    const { backend = "auto", perLayerEmbeddings = "auto", tuning = "auto", activations = null, threads = null } = options;
    const { stepsInFlight = STEPS_IN_FLIGHT, onProgress, onBackend, signal } = options;
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "gemlet" });
    let engine: Engine | undefined;
    const rpc = new RpcClient(worker, (notice) => {
      if ("progress" in notice) return onProgress?.(notice.progress);
      if (engine) engine.info = { ...engine.info, backend: notice.backend };
      onBackend?.(notice.backend);
    });
    worker.addEventListener("error", ({ message }) => {
      rpc.fail(new GemletError("worker-failed", `the engine's worker failed: ${message || "its script did not load"}`));
    });
    try {
      const address = new URL(folder.endsWith("/") ? folder : `${folder}/`, document.baseURI).href;
      const request = { folder: address, backend, perLayerEmbeddings, tuning, activations, threads, stepsInFlight };
      const info = await rpc.call("load", request, onProgress, signal);
      engine = new Engine(info, worker, rpc);
      return engine;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /**
   * Logits of the token after `tokenIds`, float32 [vocabulary], computed from an empty KV cache. `chunks` forces the
   * lengths of the prefill chunks, which add up to the number of ids. `blocks` marks the tokens of images: for each id 0,
   * or the image's number from 1; models whose images are seen both ways let them attend to each other.
   *
   * Throws GemletError "bad-request" or "context-overflow".
   */
  logits(tokenIds: ArrayLike<number>, { chunks, blocks }: { chunks?: number[]; blocks?: number[] } = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.rpc.call("logits", { ids: Array.from(tokenIds), ...(chunks && { chunks }), ...(blocks && { blocks }) });
  }

  /** Frees the memory, the GPU's too, and ends the workers. What is under way, and each later call, throws GemletError "unloaded". */
  async unload(): Promise<void> {
    // A step of WebAssembly keeps the worker until it is done, and one that broke off in another thread for ever.
    const patience = new Promise((resolve) => setTimeout(resolve, LONGEST_UNLOAD));
    await Promise.race([this.rpc.call("unload", null), patience]).finally(() => this.worker.terminate());
    this.rpc.fail(new GemletError("unloaded", "the engine was unloaded"));
  }
}
