/** What the engine asks of a backend. One Program, replayed step by step; nothing here knows what runs it. */

import type { Manifest } from "../artifact/manifest";
import type { ShardSink } from "../artifact/shards";
import type { Chunk } from "../generate/chunks";
import type { KeptTokens } from "../generate/kept_tokens";
import type { KnownAnswerCheck } from "../known_answer/check";

export type BackendName = "webgpu" | "wasm";

/** Where tables lie that are only looked up: per-layer embeddings, and a token embedding that is not the head too. */
export type EmbeddingsPlace = "gpu" | "storage";
/** On WebAssembly they always lie in its memory, with all other weights, and "storage" is refused. */
export type EmbeddingsRequest = "auto" | EmbeddingsPlace;

/**
 * Which shaders stand for kernels that have variants. "auto": the fastest, as measured on this device; "off": none but the kernels themselves, and
 * nothing is measured. `milliseconds`: as "auto", but measured anew, for at most so long. `variant`, for tests: the variant of that number wherever there
 * is one that the device can run.
 */
export type TuningRequest = "auto" | "off" | { milliseconds: number } | { variant: number };

/** "int8", "float16": on WebGPU also variants that round more than the kernel itself, since they multiply activations as 8-bit integers or as float16.
 * "int16": WebAssembly's own, whole numbers of 14 bits, which it takes for these two as well; WebGPU takes "float" for it. */
export type ActivationsRequest = "float" | "float16" | "int16" | "int8";

/** "auto": a backend has to give the answer that is known of the model; "off": it is not asked, so that a self-test can tell what a wrong one computes. */
export type KnownAnswerRequest = "auto" | "off";

export interface KernelsRequest {
  tuning: TuningRequest;
  activations: ActivationsRequest;
}

export interface KernelsInfo {
  /** Number of kernels by what runs: "main" (themselves), "shape" (a variant of another launch shape), or the features that a variant requires. */
  counts: Record<string, number>;
  /** Name of the variant by name of the kernel, where one was taken. */
  variants: Record<string, string>;
  /**
   * measured: now, for `kernels` kernels; remembered: from an earlier load; none: there is nothing to choose; off and forced: as asked for.
   * `milliseconds` that it took.
   */
  tuning: { source: "measured" | "remembered" | "none" | "off" | "forced"; kernels: number; milliseconds: number };
}

/** How tokens are drawn; field by field the state words of docs/artifact.md. */
export interface Sampling {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  seed: number;
  /** Token ids that end the answer, at most 16. */
  stop: number[];
}

/** One drawn token, and whether a stop token has been drawn by now. `logits`: the model's own, where they were asked for. */
export interface Drawn {
  token: number;
  finished: boolean;
  logits?: Float32Array<ArrayBuffer>;
}

/** What becomes of the logits before a draw (docs/artifact.md, "Adjustments"). */
export interface Adjustment {
  /** The list: its head and its entries. */
  words: Int32Array<ArrayBuffer>;
  /** Bit t mod 32 of word t div 32 is set where token t is allowed. Null: all are. */
  mask: Int32Array<ArrayBuffer> | null;
}

/** What one draw is asked for beyond `Sampling`; most often that follows from the token before, so that no other step is under way then. */
export interface DrawRequest {
  adjustment: Adjustment | null;
  /** Whether the logits are wanted, as they are before any adjustment. */
  logits: boolean;
}

export interface BackendInfo {
  name: BackendName;
  /** Why this one was taken. */
  reason: string;
  /** The hardware, in its driver's words. */
  adapter: string;
  /** Where per-layer embeddings lie, and why there; null: the model has none, or they have no place of their own, as in WebAssembly's memory. */
  per_layer_embeddings: { place: EmbeddingsPlace; reason: string } | null;
  /** What stands for the kernels on a GPU; null until it is known. */
  kernels: KernelsInfo | null;
  /** Threads of the processor that compute, the engine's own among them; null: it is the GPU that does. */
  threads: number | null;
  /** What runs on the processor; null on a GPU, and until it is known. */
  module: ModuleInfo | null;
  /** Whether it gives the answer that is known of the model; null until that was tried, and of artifacts that have none. */
  known_answer: KnownAnswerInfo | null;
}

/** source: computed now, or at an earlier load. refused: what came out with variants of kernels, where these were taken back since it was wrong. */
export interface KnownAnswerInfo {
  source: "computed" | "remembered";
  check: KnownAnswerCheck;
  refused: KnownAnswerCheck | null;
}

export interface ModuleInfo {
  file: string;
  bytes: number;
  simd: "relaxed" | "simd128";
  activations: ActivationsRequest;
  /** Why this one runs. */
  module_reason: string;
  /** Why so many threads compute. */
  threads_reason: string;
  /** All of linear memory, weights and caches among it. */
  memory_bytes: number;
  /** From the first byte of a module asked for to its being compiled; of both, where two are tried out. */
  compile_milliseconds: number;
}

/** What KV caches held, in memory of its own. */
export interface CacheCopy {
  readonly bytes: number;
  /** Puts it back, behind all steps that are queued. What the caches hold by then is lost. */
  restore(): void;
  free(): void;
}

/** Files of the artifact as a backend reads them. */
export interface ArtifactSource {
  manifest: Manifest;
  /** Text of a file of the artifact folder. */
  text(file: string): Promise<string>;
  response(file: string): Promise<Response>;
  /** To be called for each of `Backend.parts`. */
  onPart(): void;
}

export interface Backend {
  info: BackendInfo;
  /** How products take their activations, once `complete` is done. */
  readonly activations: ActivationsRequest;
  readonly weights: ShardSink;
  /** Chunk sizes of a prompt, ascending. */
  readonly prefillSizes: readonly number[];
  /** Most steps that may be under way at once: one where a surplus step would cost what a step costs. */
  readonly mostInFlight: number;
  /** What the caches hold, as whoever queues steps keeps account of it. */
  readonly kept: KeptTokens;
  /** What `prepare` makes ready. */
  readonly parts: { total: number; unit: "kernels" | "files" };
  /**
   * Makes room for all buffers; before `prepare`, and before a weight is written. Throws GemletError "gpu-error" where there is too
   * little of it, "storage" where that was asked for and is not there.
   */
  allocate(embeddings: EmbeddingsRequest): Promise<void>;
  /** Resolves when all kernels can be launched, once `complete` is done. */
  prepare(source: ArtifactSource, request: KernelsRequest): Promise<void>;
  /**
   * What needs all weights, once they are there. A GPU tries variants of kernels out, where that is asked for, which takes 0.3 s at most unless the
   * request says otherwise; WebAssembly orders the weights' words as its kernels read them.
   */
  complete(): Promise<void>;
  /** Lets kernels stand for themselves in place of variants, for this model from now on; false where there is nothing to take back. */
  withoutVariants(): Promise<boolean>;
  /** Begins an answer; `position`: tokens whose KV counts, and stays. The next chunk follows them. */
  start(sampling: Sampling, position: number): void;
  /** Queues one chunk, of one of `prefillSizes`, from the current position on; resolves when it has run. */
  prefill(chunk: Chunk): Promise<void>;
  /** Queues `tail` and a draw; resolves with the first token. A request wants an artifact for which `canAdjust` holds. */
  sample(request?: DrawRequest): Promise<Drawn>;
  /** Queues one decoded token; resolves with it. Several may be under way. */
  decode(request?: DrawRequest): Promise<Drawn>;
  /** Bytes of a copy of what the caches hold of `tokens` tokens; infinite where there can be none, as with older artifacts on WebAssembly. */
  cacheBytes(tokens: number): number;
  /** Queues a copy of what was written of `tokens` tokens. Null where there is no memory for it. */
  copyCaches(tokens: number): Promise<CacheCopy | null>;
  /** Queues `tail`; resolves with the logits of the last position. */
  logits(): Promise<Float32Array<ArrayBuffer>>;
  /**
   * What each layer leaves of the last of `ids`, float32 [hidden size], from an empty cache; null of a layer whose result lies nowhere. An answer has to begin anew
   * after it.
   */
  layers(ids: readonly number[]): Promise<(Float32Array<ArrayBuffer> | null)[]>;
  /** Frees all, and resolves when that is done; pending promises reject. */
  unload(): Promise<void>;
}
