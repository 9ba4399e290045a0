/** Runs a Program's steps as WebAssembly, in this thread and those of a pool. A step keeps this thread until it is done. */

import type { Manifest, WasmModule, WasmProgram } from "../artifact/manifest";
import type { ShardSink } from "../artifact/shards";
import type { ActivationsRequest, ArtifactSource, Backend, BackendInfo, CacheCopy, Drawn, DrawRequest, KernelsRequest, Sampling } from "../backend/backend";
import { walkLayers } from "../backend/layer_walk";
import { GREEDY } from "../backend/sampling";
import { State } from "../backend/state";
import { Turns } from "../backend/turn";
import { usedBytes } from "../backend/used_bytes";
import { GemletError } from "../errors";
import type { Chunk } from "../generate/chunks";
import { KeptTokens } from "../generate/kept_tokens";
import type { ChosenModules } from "./choose_module";
import { compileModule } from "./compile";
import { copyCaches } from "./copy_caches";
import { type Exports, instantiate, type ThreadStart } from "./instance";
import type { OpenWasm } from "./open_wasm";
import { Pool } from "./pool";
import { bestOf, measureTrials } from "./try_modules";

/** Undefined in a backend that was unloaded, so that nothing keeps the memory. */
interface Loaded {
  memory: WebAssembly.Memory;
  state: State;
  module?: WebAssembly.Module;
  exports?: Exports;
  pool?: Pool;
}

/** More than a step has. */
const MOST_LAUNCHES = 2 ** 31 - 1;

/** Of the warm-up's tokens: with so many before them the loops of attention run long enough for browsers to compile them well. */
const WARM_POSITION = 500;

/** What `info.adapter` says. */
export const PROCESSOR = "the processor";

export class WasmBackend implements Backend {
  info: BackendInfo;
  readonly prefillSizes: readonly number[];
  /** A step under way is this thread's: a second one would only wait, and be for nothing after a stop. */
  readonly mostInFlight = 1;
  readonly parts = { total: 1, unit: "files" } as const;
  readonly kept: KeptTokens;
  private readonly program: WasmProgram;
  private readonly chosen: ChosenModules;
  private readonly turns = new Turns();
  private loaded: Loaded | undefined;
  private failure: GemletError | undefined;
  /** Tokens whose KV is written. */
  private position = 0;

  constructor(
    { memory, program, ...chosen }: OpenWasm,
    private readonly manifest: Manifest,
    reason: string,
  ) {
    this.program = program;
    this.chosen = chosen;
    this.prefillSizes = program.prefill;
    this.kept = new KeptTokens(manifest);
    this.loaded = { memory, state: new State(manifest, memory.buffer, program.state, program.state_bytes) };
    this.info = { name: "wasm", reason, adapter: PROCESSOR, per_layer_embeddings: null, kernels: null, threads: chosen.threads, module: null, known_answer: null };
  }

  /** The memory was had when the backend was opened. */
  async allocate(): Promise<void> {}

  get weights(): ShardSink {
    const bytes = new Uint8Array(this.need().memory.buffer);
    const { weights } = this.program;
    return {
      weights: weights.map(({ pieces }, buffer) => ({ buffer, pieces })),
      write: (buffer, offset, part) => bytes.set(part, weights[buffer]!.offset + offset),
      flush: async () => undefined,
      stored: null,
    };
  }

  async prepare(source: ArtifactSource, { tuning }: KernelsRequest): Promise<void> {
    const { modules, threadsReason } = this.chosen;
    const hasTrial = this.program.steps["trial"] !== undefined;
    const specs = hasTrial && tuning !== "off" ? modules : modules.slice(0, 1);
    const started = performance.now();
    const compiled = await Promise.all(specs.map(async (spec) => compileModule(spec, await source.response(spec.file))));
    const compile_milliseconds = performance.now() - started;
    const untried = modules.length === 1 ? "there is no other" : hasTrial ? "tuning is off" : "the artifact is older than trials; compile it again for the fastest";
    const { index, reason: module_reason } = specs.length > 1 ? this.tryOut(specs, compiled) : { index: 0, reason: untried };
    const { file, bytes, simd, activations } = specs[index]!;
    this.need().module = compiled[index]!;
    const { memory_bytes } = this.program;
    this.info = { ...this.info, module: { file, bytes, simd, activations, module_reason, threads_reason: threadsReason, memory_bytes, compile_milliseconds } };
    source.onPart();
  }

  /** The best of modules, whatever is in memory. */
  private tryOut(specs: readonly WasmModule[], compiled: readonly WebAssembly.Module[]): { index: number; reason: string } {
    const instances = compiled.map((module) => instantiate(this.threadStart(0, module)));
    const times = measureTrials(instances.map(({ alone }) => () => alone(this.program.steps["trial"]!)));
    const index = bestOf(times);
    const told = specs.map(({ simd }, i) => `${(1000 * times[i]!).toFixed(2)} µs with ${simd === "relaxed" ? "relaxed SIMD" : "plain SIMD"}`);
    return { index, reason: `tried out: ${told.join(", ")}` };
  }

  /** Threads start only now: a load that fails leaves none. */
  async complete(): Promise<void> {
    const module = this.need().module!;
    const [own, ...others] = Array.from({ length: this.chosen.threads }, (_, thread) => this.threadStart(thread, module));
    this.need().exports = instantiate(own!);
    const pool = await Pool.start(others);
    this.need().pool = pool;
    this.run("prepare");
    this.warmUp();
  }

  /**
   * Runs each step once. Browsers compile a function well only when it has run for a while: so that begins now, not in the first answer. What this writes
   * to caches and state is written anew by a conversation before it is read.
   */
  private warmUp(): void {
    this.start(GREEDY, 0);
    this.need().state.setChunk(Math.max(0, Math.min(WARM_POSITION, this.manifest.context - 2)), [0]);
    for (const step of [`prefill_${this.prefillSizes.at(-1)!}`, "tail", "sample", "decode"]) this.run(step);
  }

  get activations(): ActivationsRequest {
    return this.info.module!.activations;
  }

  /** A module's weights lie in an order of its own. */
  async withoutVariants(): Promise<boolean> {
    return false;
  }

  start(sampling: Sampling, position: number): void {
    this.position = position;
    this.need().state.start(sampling);
  }

  async prefill({ ids, blocks, size }: Chunk): Promise<void> {
    this.need().state.setChunk(this.position, ids, blocks);
    this.run(`prefill_${size}`);
    this.position += ids.length;
    await this.turn();
  }

  sample(request?: DrawRequest): Promise<Drawn> {
    return this.draw(() => this.drawAfter("tail", request));
  }

  decode(request?: DrawRequest): Promise<Drawn> {
    return this.draw(() => (request ? this.drawAfter("decode_logits", request) : this.run("decode")));
  }

  async logits(): Promise<Float32Array<ArrayBuffer>> {
    this.run("tail");
    return this.readLogits();
  }

  layers(ids: readonly number[]): Promise<(Float32Array<ArrayBuffer> | null)[]> {
    const { memory, state } = this.need();
    this.start(GREEDY, 0);
    this.kept.begin(0);
    const width = this.manifest.facts["hidden_size"] as number;
    return walkLayers(this.chosen.modules.find(({ file }) => file === this.info.module!.file)!.layers, ids, this.prefillSizes, {
      prefill: (chunk) => this.prefill(chunk),
      begin: ({ ids: own, blocks }) => state.setChunk(this.position, own, blocks),
      run: (step, first, last = MOST_LAUNCHES) => this.attempt(step, ({ part }, number) => part(number, first, last)),
      read: async ({ offset, row_bytes }, row) => new Float32Array(memory.buffer, offset + row * row_bytes, width).slice(),
    });
  }

  cacheBytes(tokens: number): number {
    return this.program.caches?.reduce((sum, cache) => sum + usedBytes(cache, cache.bytes, tokens), 0) ?? Infinity;
  }

  async copyCaches(tokens: number): Promise<CacheCopy | null> {
    return copyCaches(this.need().memory, this.program.caches!, tokens);
  }

  async unload(): Promise<void> {
    const { exports, pool } = this.loaded ?? {};
    this.loaded = undefined;
    this.turns.close();
    if (exports && pool && this.chosen.threads > 1) await pool.quit(() => exports.quit());
  }

  /** `run` draws now, and returns logits where they are wanted; all is given after a turn, so that an abort that came meanwhile is seen before the next. */
  private async draw(run: () => Float32Array<ArrayBuffer> | void): Promise<Drawn> {
    const logits = run();
    const drawn = this.need().state.readDrawn();
    await this.turn();
    return logits ? { ...drawn, logits } : drawn;
  }

  /** Runs a step that gives logits, and a draw from them. */
  private drawAfter(step: string, request?: DrawRequest): Float32Array<ArrayBuffer> | void {
    const { memory } = this.need();
    const adjustment = request?.adjustment;
    this.run(step);
    const logits = request?.logits ? this.readLogits() : undefined;
    if (adjustment) {
      const { adjustments, mask } = this.program.adjust!;
      new Int32Array(memory.buffer, adjustments).set(adjustment.words);
      if (adjustment.mask) new Int32Array(memory.buffer, mask).set(adjustment.mask);
    }
    this.run(adjustment ? "sample_adjusted" : "sample");
    return logits;
  }

  private readLogits(): Float32Array<ArrayBuffer> {
    return new Float32Array(this.need().memory.buffer, this.program.logits, this.manifest.facts["vocab_size"] as number).slice();
  }

  private async turn(): Promise<void> {
    await this.turns.next();
    this.need();
  }

  private threadStart(thread: number, module: WebAssembly.Module): ThreadStart {
    const { offset, bytes } = this.program.stacks;
    return { module, memory: this.need().memory, thread, threads: this.chosen.threads, stackTop: offset + (thread + 1) * bytes };
  }

  /** Throws GemletError "worker-failed" where the step traps, in whatever thread: nothing can be computed any more then. */
  private run(step: string): void {
    this.attempt(step, (exports, number) => exports.run(number, this.chosen.threads));
  }

  private attempt(step: string, work: (exports: Exports, number: number) => void): void {
    const { exports } = this.need();
    try {
      work(exports!, this.program.steps[step]!);
    } catch (cause) {
      this.failure = new GemletError("worker-failed", `the step "${step}" of ${this.info.module!.file} broke off: ${(cause as Error).message}; load the model again`);
      throw this.failure;
    }
  }

  private need(): Loaded {
    if (!this.loaded) throw new GemletError("unloaded", "the engine was unloaded");
    if (this.failure) throw this.failure;
    return this.loaded;
  }
}
