/** The public engine: starts the worker and speaks OpenAI's shapes. */

import { folderAddress } from "../artifact/addresses";
import type { StorageFull } from "../artifact/room";
import { askToPersist } from "../artifact/site_quota";
import { deleteModel, type StoredModel, storedModels } from "../artifact/stored_models";
import type { ActivationsRequest, BackendInfo, EmbeddingsRequest, KnownAnswerRequest, TuningRequest } from "../backend/backend";
import type { BackendRequest } from "../backend/choose";
import { GemletError } from "../errors";
import { CONVERSATION_MEMORY } from "../generate/conversations";
import { STEPS_IN_FLIGHT } from "../generate/generate";
import { type ChatCompletions, chatCompletions, type TextCompletions, textCompletions } from "./completions";
import { checkLoadOptions } from "./check_load_request";
import type { EngineInfo, Logits } from "./core";
import { type Host, type HostRequest, openHost } from "./host";
import type { SelfTestOptions, SelfTestReport } from "../known_answer/self_test";
import type { Progress } from "./load";
import { plainCopy } from "./plain_data";
import { type LoadEvent, RpcClient } from "./rpc";

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
  /**
   * Bytes for copies of conversations: the engine computes with one at a time, and puts what it holds aside, on the GPU or in the worker's memory, before
   * another takes its place, so that going back to it need not read it anew. The least recently used go first; what is larger than all of it is not kept.
   * Default 256 MiB; 0 keeps none.
   */
  conversationMemory?: number;
  /**
   * "auto", the default: after the first load on a device the engine compares what it computes with the answer that is known of the model, and another backend
   * takes over where it is wrong. "off": it does not, so that `selfTest` can look into a device that is.
   */
  knownAnswer?: KnownAnswerRequest;
  /**
   * Where the engine computes. "worker", the default: in a worker of its own. "shared-worker": in one that all tabs of the site share which load the same
   * folder with the same options; it ends when the last of them has unloaded or is gone. "page": in the page's own thread, which stands still while the
   * processor computes. In these two WebAssembly has one thread, the browser keeps weights in its Cache API, and per-layer embeddings cannot lie in "storage".
   */
  host?: HostRequest;
  /** Told how the loading goes on; also of what is loaded later, when another backend takes over. */
  onProgress?: (progress: Progress) => void;
  /** Told of a backend that has taken over, since the GPU was lost or failed. `info.backend` is that one then. */
  onBackend?: (backend: BackendInfo) => void;
  /**
   * Asked where the browser has too little room to keep the model beside the others that it keeps for this site; gives the folders of those that may be
   * deleted. Without it, and where that is not enough, the model is loaded all the same but not kept, and `info.storage.note` says so.
   */
  onStorageFull?: (full: StorageFull) => string[] | Promise<string[]>;
  /** Ends the loading with GemletError "aborted". */
  signal?: AbortSignal;
}

/** Models that the browser keeps for this site, so that they need not be downloaded again. */
export interface StoredModels {
  /** The least recently used first. */
  list(): Promise<StoredModel[]>;
  /** Frees what the model in `folder` (as in `Engine.load`) does not share with others. An engine that has it loaded is not disturbed. */
  delete(folder: string | URL): Promise<void>;
}

export class Engine {
  static readonly models: StoredModels = { list: storedModels, delete: (folder) => deleteModel(folderAddress(folder)) };

  /** `chat.completions.create` answers a conversation by the model's own chat template. */
  readonly chat: { completions: ChatCompletions };
  /** `completions.create` continues a text or a list of token ids. */
  readonly completions: TextCompletions;

  /** The model, its licence, its limits, and what runs it. */
  info: EngineInfo;

  private unloading: Promise<void> | undefined;

  private constructor(
    info: EngineInfo,
    private readonly host: Host,
    private readonly rpc: RpcClient,
  ) {
    this.info = info;
    this.chat = { completions: chatCompletions(rpc, info.name) };
    this.completions = textCompletions(rpc, info.name);
  }

  /**
   * Loads the artifact in `folder` into a worker of its own, or where `host` says. The folder's address is relative to the page; that of the model.json in it
   * will do, too, and a query goes behind the name of each file.
   *
   * Throws GemletError: "network" and "bad-artifact" name the file; "no-backend" and "device-limits" say what is missing
   * here, before anything large is downloaded; "gpu-error" names the kernel; "wrong-answers" says what came out in place of the answer that is known of the model; "storage" where the browser keeps no files for this site, or no more; "bad-request"; "aborted".
   */
  static async load(folder: string | URL, options: LoadOptions = {}): Promise<Engine> {
    checkLoadOptions(options);
    const { host: place = "worker", backend = "auto", perLayerEmbeddings = "auto", tuning = "auto", activations = null, threads = null } = options;
    const { stepsInFlight = STEPS_IN_FLIGHT, conversationMemory = CONVERSATION_MEMORY, onProgress, onBackend, onStorageFull, signal, knownAnswer = "auto" } = options;
    const settings = { backend, perLayerEmbeddings, tuning, activations, threads, stepsInFlight, conversationMemory, knownAnswer };
    const asked = { folder: folderAddress(folder), ...settings, asksForRoom: onStorageFull !== undefined };
    let engine: Engine | undefined;
    const host = await openHost(place, JSON.stringify(asked), (error) => rpc.fail(error));
    const rpc = new RpcClient(host.endpoint, (notice) => {
      if ("progress" in notice) return onProgress?.(notice.progress);
      if ("lifetime" in notice) return host.watch(notice.lifetime);
      if (engine) engine.info = { ...engine.info, backend: notice.backend };
      onBackend?.(notice.backend);
    });
    const onEvent = async (event: LoadEvent): Promise<void> => {
      if (!("storageFull" in event)) return onProgress?.(event);
      try {
        await rpc.call("makeRoom", await onStorageFull!(event.storageFull));
      } catch (error) {
        rpc.fail(error as Error);
      }
    };
    askToPersist(); // else the browser clears what it keeps when the disk is full
    try {
      const info = await rpc.call("load", { ...asked, tab: host.tab }, onEvent, signal);
      engine = new Engine(info, host, rpc);
      return engine;
    } catch (error) {
      host.end();
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
  async logits(tokenIds: ArrayLike<number>, { chunks, blocks }: { chunks?: number[]; blocks?: number[] } = {}): Promise<Float32Array<ArrayBuffer>> {
    return this.rpc.call("logits", plainCopy({ ids: Array.from(tokenIds), chunks, blocks }) as Logits);
  }

  /**
   * Computes the answer that is known of the model, now and whatever is remembered of earlier loads, and compares; `layers`: also what each layer leaves, so that
   * the first that is wrong is named. The report's `text` is for an issue. What conversations the engine holds stays.
   *
   * Throws GemletError "bad-request" while an answer is written or waits, and of an artifact that knows no answer.
   */
  async selfTest(options: SelfTestOptions = {}): Promise<SelfTestReport> {
    const report = await this.rpc.call("selfTest", plainCopy(options) as SelfTestOptions);
    const known_answer = { source: "computed" as const, check: report.check, refused: null };
    this.info = { ...this.info, backend: { ...this.info.backend, known_answer } };
    return report;
  }

  /** Frees the memory, the GPU's too, and ends the workers. What is under way, and each later call but this one, throws GemletError "unloaded". */
  unload(): Promise<void> {
    return (this.unloading ??= this.end());
  }

  private async end(): Promise<void> {
    // A step of WebAssembly keeps the worker until it is done, and one that broke off in another thread for ever.
    const patience = new Promise((resolve) => setTimeout(resolve, LONGEST_UNLOAD));
    await Promise.race([this.rpc.call("unload", null), patience]).finally(() => this.host.end());
    this.rpc.fail(new GemletError("unloaded", "the engine was unloaded"));
  }
}
