/** The public engine: starts the worker and speaks OpenAI's shapes. */

import type { ActivationsRequest, EmbeddingsRequest, TuningRequest } from "../backend/backend";
import type { BackendRequest } from "../backend/choose";
import { GemletError } from "../errors";
import { STEPS_IN_FLIGHT } from "../generate/generate";
import { type ChatCompletions, chatCompletions, type TextCompletions, textCompletions } from "./completions";
import type { EngineInfo } from "./core";
import type { Progress } from "./load";
import { RpcClient } from "./rpc";

export interface LoadOptions {
  /** Default "auto". */
  backend?: BackendRequest;
  /**
   * Where per-layer embeddings (a table of which a token reads one row) lie: in GPU memory ("gpu"), or in files that the browser keeps for
   * this site ("storage"), which takes no GPU memory and costs a wait for each token. Default "auto": GPU memory where it has the room.
   */
  perLayerEmbeddings?: EmbeddingsRequest;
  /**
   * Some kernels come in several launch shapes, or in variants for what only some devices can. "auto", the default, takes the fastest here, measured for
   * at most 0.3 s of the first load and remembered for the next; "off" runs every kernel as it is on all devices. `{ milliseconds }` measures anew, for at
   * most so long. `{ variant: 0 }` is for tests.
   */
  tuning?: TuningRequest;
  /** "int8": prompts may be read by variants that round activations to 8 bits, for GPUs that multiply these faster. Default "float". */
  activations?: ActivationsRequest;
  /**
   * Tokens that the GPU may work on ahead of the newest that has been seen, 1 or more. Default 4. After a stop up to one less than that
   * are computed for nothing, and never shown. The text is the same with every number; 1 waits for each token, which is of use to compare.
   */
  stepsInFlight?: number;
  onProgress?: (progress: Progress) => void;
  /** Ends the loading with GemletError "aborted". */
  signal?: AbortSignal;
}

export class Engine {
  /** `chat.completions.create` answers a conversation by the model's own chat template. */
  readonly chat: { completions: ChatCompletions };
  /** `completions.create` continues a text or a list of token ids. */
  readonly completions: TextCompletions;

  private constructor(
    /** The model, its licence, its limits, and what runs it. */
    readonly info: EngineInfo,
    private readonly worker: Worker,
    private readonly rpc: RpcClient,
  ) {
    this.chat = { completions: chatCompletions(rpc, info.name) };
    this.completions = textCompletions(rpc, info.name);
  }

  /**
   * Loads the artifact in `folder` (an address, relative to the page) into a worker of its own.
   *
   * Throws GemletError: "network" and "bad-artifact" name the file; "no-backend" and "device-limits" say what is missing
   * here; "gpu-error" names the kernel; "storage" where the browser keeps no files for this site, or no more; "bad-request"; "aborted".
   */
  static async load(folder: string, options: LoadOptions = {}): Promise<Engine> {
    const { backend = "auto", perLayerEmbeddings = "auto", tuning = "auto", activations = "float" } = options;
    const { stepsInFlight = STEPS_IN_FLIGHT, onProgress, signal } = options;
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "gemlet" });
    const rpc = new RpcClient(worker);
    worker.addEventListener("error", ({ message }) => {
      rpc.fail(new GemletError("worker-failed", `the engine's worker failed: ${message || "its script did not load"}`));
    });
    try {
      const address = new URL(folder.endsWith("/") ? folder : `${folder}/`, document.baseURI).href;
      const request = { folder: address, backend, perLayerEmbeddings, tuning, activations, stepsInFlight };
      const info = await rpc.call("load", request, onProgress, signal);
      return new Engine(info, worker, rpc);
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

  /** Frees the GPU's memory and ends the worker. What is under way, and each later call, throws GemletError "unloaded". */
  async unload(): Promise<void> {
    await this.rpc.call("unload", null).finally(() => this.worker.terminate());
    this.rpc.fail(new GemletError("unloaded", "the engine was unloaded"));
  }
}
