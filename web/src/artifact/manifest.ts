/** Types of model.json, key by key as in docs/artifact.md. */

export const SCHEMA = 1;

export type Target = "webgpu" | "wasm";

export interface Manifest {
  schema: number;
  generator: string;
  name: string;
  title: string;
  architecture: string;
  chat: boolean;
  license: License;
  facts: Record<string, number | string>;
  context: number;
  quantization: Quantization;
  tokenizer: TokenizerFacts;
  chat_template: string | null;
  limits: Record<string, number>;
  prefill: number[];
  state: { buffer: number; fields: Record<StateField, number> };
  /** Indices of buffers. Null where WebGPU is no target, and in artifacts that are older than that. */
  adjust: Adjust | null;
  buffers: BufferSpec[];
  tables: Table[];
  kernels: KernelSpec[];
  steps: Record<string, Launch[]>;
  /** Where each layer's result lies: in a buffer. */
  layers: (LayerEnd & { buffer: number } | null)[];
  /** Null in an artifact without weights. */
  known_answer: KnownAnswer | null;
  shards: Shard[];
  weights: Weight[];
  /** What it was compiled for. Where "webgpu" is none of it, `kernels`, `steps`, `buffers`, `tables`, `weights` and `limits` are empty. */
  targets: Target[];
  wasm: WasmProgram | Unfit | null;
}

/** How far numbers may be off, by how activations are taken. */
export type Tolerance = Record<"float" | "float16" | "int16" | "int8", number>;

/** What the model answers to a fixed prompt. */
export interface KnownAnswer {
  ids: number[];
  /** Id and logit, the largest first. */
  best: [number, number][];
  /** Signed sums of all logits. */
  stripes: number[];
  /** Of each layer: signed sums of the last token's hidden state, and its root mean square. */
  layers: number[][];
  tolerance: { best: Tolerance; stripes: Tolerance; layers: Tolerance[] };
}

/** What a layer leaves is in its place when the first `launches` of a step have run. Null in a list of these: it lies nowhere. */
export interface LayerEnd {
  step: string;
  launches: number;
  /** From one token's hidden state to the next one's. */
  row_bytes: number;
}

export interface License {
  name: string;
  url: string;
  file: string;
}

export interface Quantization {
  requested: string;
  formats: Record<string, { tensors: number; bytes: number }>;
}

export interface TokenizerFacts {
  file: string;
  add_bos: boolean;
  bos: number | null;
  stop: number[];
  /** [first, end] of the ids below the vocabulary's size that have no token, in order; no draw takes one. */
  without_text: [number, number][];
}

/** Where `sample_adjusted` reads what to change of the logits. */
export interface Adjust {
  adjustments: number;
  mask: number;
}

export type BufferKind = "weight" | "cache" | "state" | "activation" | "logits" | "input";

export interface BufferSpec {
  name: string;
  kind: BufferKind;
  bytes: number;
  /** Only of linear caches: most slots. */
  slots?: number;
  /** Of caches: bytes of a slot, and how many slots lie in one piece. Missing of rings in older artifacts. */
  slot_bytes?: number;
  slot_tile?: number;
}

/**
 * A matrix that is only looked up, a row a token. `buffers` hold its rows, one after the other; `part`, three 32-bit integers, tells a kernel
 * which of them are bound: the first, their number, and `rows`, the number of all.
 */
export interface Table {
  rows: number;
  buffers: number[];
  part: number;
}

export interface ShaderSpec {
  name: string;
  file: string;
  entry: string;
  workgroup: [number, number, number];
  /** Bytes of workgroup memory. */
  shared_bytes: number;
}

export interface KernelSpec extends ShaderSpec {
  /** Shaders that may stand in the kernel's place, the best first. */
  variants?: VariantSpec[];
}

export interface VariantSpec extends ShaderSpec {
  /** Of each launch, in place of the launch's own. */
  grid: [number, number, number];
  /** WebGPU features, and features of WGSL, that the device must offer. */
  requires: string[];
  /** False: it rounds more than the kernel itself. */
  exact: boolean;
}

export interface Launch {
  kernel: number;
  grid: [number, number, number];
  buffers: number[];
}

export interface Shard {
  file: string;
  bytes: number;
  sha256: string;
}

/** A piece is [shard, offset in shard, bytes, offset in buffer]. */
export type Piece = [number, number, number, number];

export interface Weight {
  buffer: number;
  pieces: Piece[];
}

/** The Program as WebAssembly, in one linear memory whose every byte has its place. Offsets and sizes are bytes. */
export interface WasmProgram {
  modules: WasmModule[];
  /** All of linear memory: a multiple of 65536. */
  memory_bytes: number;
  /** The stack of thread t is `bytes` long from `offset + t * bytes` on, and grows down. `threads`: the most that a module serves. */
  stacks: { offset: number; bytes: number; threads: number };
  /** Number of each step. */
  steps: Record<string, number>;
  /** As the manifest's: chunk sizes, ascending. */
  prefill: number[];
  state: number;
  state_bytes: number;
  logits: number;
  /** Missing in older artifacts. */
  adjust?: Adjust;
  /** Missing in older artifacts. */
  caches?: WasmCache[];
  weights: WasmWeight[];
}

/** A KV cache: of keys, or of values. A slot has `slot_bytes` bytes, and `slot_tile` slots lie in one piece. */
export interface WasmCache {
  offset: number;
  bytes: number;
  slot_bytes: number;
  slot_tile: number;
}

export interface WasmModule {
  file: string;
  bytes: number;
  sha256: string;
  /** Whether it works on shared memory, with other threads. */
  threads: boolean;
  simd: "relaxed" | "simd128";
  activations: "int16" | "float";
  /** Where each layer's result lies: from a byte of memory on. */
  layers: (LayerEnd & { offset: number } | null)[];
}

export interface WasmWeight {
  name: string;
  offset: number;
  bytes: number;
  pieces: Piece[];
}

/** In place of a WasmProgram that would need more memory than there can be. `context_that_fits`: 0 where none does. */
export interface Unfit {
  unfit: { memory_bytes: number; limit_bytes: number; context_that_fits: number };
}

export const STATE_FIELDS = [
  "position",
  "length",
  "generated",
  "finished",
  "temperature",
  "top_k",
  "top_p",
  "min_p",
  "seed",
  "stop_count",
  "stop",
  "output",
  "blocks",
  "tokens",
] as const;

export type StateField = (typeof STATE_FIELDS)[number];

/** Lengths of the two arrays in the state, fixed by the schema. */
export const MAX_STOP_TOKENS = 16;
export const OUTPUT_RING = 64;

/** Whether logits can be changed before a draw, and read. */
export function canAdjust({ adjust, wasm }: Manifest): boolean {
  return adjust !== null || (wasm !== null && "adjust" in wasm);
}

/** Words before the list's entries, and of an entry, fixed by the schema. */
export const ADJUSTMENTS_HEAD = 2;
export const ADJUSTMENT_WORDS = 3;

/** Bytes of a list that has room for all tokens. */
export function adjustmentBytes(vocabulary: number): number {
  return 4 * (ADJUSTMENTS_HEAD + ADJUSTMENT_WORDS * vocabulary);
}

/** Bytes of all shards, which is what a visitor downloads beside a few small files. */
export function weightBytes(manifest: Manifest): number {
  return manifest.shards.reduce((sum, shard) => sum + shard.bytes, 0);
}

/** Whether the vocabulary has a row for this id, but the tokenizer no token. */
export function isWithoutText({ tokenizer }: Manifest, id: number): boolean {
  return tokenizer.without_text.some(([first, end]) => first <= id && id < end);
}

/** Number of logits; `logits` is float32 [vocab]. */
export function vocabularySize(manifest: Manifest): number {
  return manifest.facts["vocab_size"] as number;
}
