/** Replays a Program on a WebGPU device. */

import type { Manifest } from "../artifact/manifest";
import type { ShardSink } from "../artifact/shards";
import type { ActivationsRequest, ArtifactSource, Backend, BackendInfo, CacheCopy, Drawn, DrawRequest, EmbeddingsRequest, KernelsRequest, Sampling } from "../backend/backend";
import { walkLayers } from "../backend/layer_walk";
import { GREEDY } from "../backend/sampling";
import { State } from "../backend/state";
import { GemletError } from "../errors";
import type { Chunk } from "../generate/chunks";
import { KeptTokens } from "../generate/kept_tokens";
import type { Buffers } from "./buffers";
import { copyCaches } from "./copy_caches";
import type { OpenDevice } from "./device";
import { createPipelines } from "./kernels";
import { placeTables } from "./place_tables";
import { DeviceWatch, scoped } from "./device_watch";
import { Program } from "./program";
import { type Read, Readback } from "./readback";
import { Tuning } from "./tuning";

interface Loaded {
  buffers: Buffers;
  program: Program;
  tuning: Tuning;
  stateReadback: Readback;
  logitsReadback: Readback;
}

export class WebGpuBackend implements Backend {
  info: BackendInfo;
  readonly prefillSizes: readonly number[];
  readonly mostInFlight = Infinity;
  readonly parts: Backend["parts"];
  readonly kept: KeptTokens;
  private readonly device: GPUDevice;
  /** What is written to the GPU before a chunk: the whole buffer, since nothing there is older than the chunk. */
  private readonly stateBytes: ArrayBuffer;
  private readonly state: State;
  private buffers: Buffers | undefined;
  private loaded: Loaded | undefined;
  /** Tokens whose KV is queued; the GPU's `position` once all that is queued has run. */
  private position = 0;
  /** The newest token that is queued to be drawn. */
  private newest: Promise<Drawn> | undefined;
  private readonly watch: DeviceWatch;
  /** When the GPU has told whether it made the buffers that were asked for last. */
  private grown: Promise<void> = Promise.resolve();

  constructor(
    private readonly opened: OpenDevice,
    private readonly manifest: Manifest,
    reason: string,
  ) {
    const { device, adapter } = opened;
    this.device = device;
    this.info = { name: "webgpu", reason, adapter, per_layer_embeddings: null, kernels: null, threads: null, module: null, known_answer: null };
    this.prefillSizes = manifest.prefill;
    this.kept = new KeptTokens(manifest);
    this.parts = { total: manifest.kernels.length, unit: "kernels" };
    this.stateBytes = new ArrayBuffer(manifest.buffers[manifest.state.buffer]!.bytes);
    this.state = new State(manifest, this.stateBytes);
    this.watch = new DeviceWatch(device);
  }

  async allocate(request: EmbeddingsRequest): Promise<void> {
    const { buffers, embeddings } = await placeTables(this.device, this.manifest, request);
    this.buffers = buffers;
    this.info = { ...this.info, per_layer_embeddings: embeddings };
  }

  get weights(): ShardSink {
    const buffers = this.buffers!;
    return {
      weights: this.manifest.weights,
      write: (buffer, offset, bytes) => buffers.write(buffer, offset, bytes),
      flush: () => this.device.queue.onSubmittedWorkDone(),
      stored: buffers.stored,
    };
  }

  async prepare(source: ArtifactSource, request: KernelsRequest): Promise<void> {
    const tuning = await Tuning.begin(this.device, source, request, this.opened);
    const pipelines = await createPipelines(tuning.pipelines, source, tuning.choices, tuning.strict);
    const { gpu } = this.buffers!;
    const { value: program, error } = scoped(this.device, () => new Program(this.device, this.buffers!, pipelines, tuning.choices, this.manifest.steps));
    const refused = await error;
    this.watch.check();
    if (refused) throw new GemletError("bad-artifact", `the buffers of a launch do not fit its kernel: ${refused.message}`);
    this.loaded = {
      buffers: this.buffers!,
      program,
      tuning,
      stateReadback: new Readback(this.device, gpu[this.manifest.state.buffer]!),
      logitsReadback: new Readback(this.device, gpu[this.manifest.buffers.findIndex(({ kind }) => kind === "logits")]!),
    };
  }

  async complete(): Promise<void> {
    const { program, tuning, buffers } = this.need();
    const setState = (step: string): void => {
      const size = this.manifest.prefill.find((each) => step === `prefill_${each}`) ?? 1;
      this.state.setChunk(0, new Array<number>(size).fill(0));
      this.device.queue.writeBuffer(buffers.gpu[this.manifest.state.buffer]!, 0, this.stateBytes);
    };
    await tuning.measure(program, setState).catch((cause: Error) => {
      throw this.watch.failure ?? cause;
    });
    this.watch.check();
    this.info = { ...this.info, kernels: tuning.info(this.manifest.kernels) };
  }

  get activations(): ActivationsRequest {
    return this.need().tuning.activations;
  }

  async withoutVariants(): Promise<boolean> {
    const { program, tuning } = this.need();
    const changed = await tuning.takeBack(program);
    this.info = { ...this.info, kernels: tuning.info(this.manifest.kernels) };
    return changed;
  }

  start(sampling: Sampling, position: number): void {
    this.position = position;
    this.state.start(sampling);
  }

  /** Lets the next step work on a chunk. */
  private setChunk({ ids, blocks, size }: Chunk): void {
    const { buffers } = this.need();
    this.growCaches(this.position + size);
    this.state.setChunk(this.position, ids, blocks);
    this.device.queue.writeBuffer(buffers.gpu[this.manifest.state.buffer]!, 0, this.stateBytes);
    buffers.loadRows(ids);
  }

  prefill(chunk: Chunk): Promise<void> {
    const { program } = this.need();
    const { ids, size } = chunk;
    this.setChunk(chunk);
    const step = `prefill_${size}`;
    const { told } = this.watch.first(`the step ${step}`, () => {
      const encoder = this.device.createCommandEncoder();
      program.encode(encoder, step);
      this.device.queue.submit([encoder.finish()]);
    });
    this.position += ids.length;
    return this.watch.unlessFailed(Promise.all([this.device.queue.onSubmittedWorkDone(), told, this.grown]).then(() => undefined));
  }

  sample(request?: DrawRequest): Promise<Drawn> {
    return (this.newest = this.drawAfter("tail", request));
  }

  decode(request?: DrawRequest): Promise<Drawn> {
    this.growCaches(this.position + 1);
    this.position += 1;
    const draw = (): Promise<Drawn> => (request ? this.drawAfter("decode_logits", request) : this.draw("decode", (encoder) => this.need().program.encode(encoder, "decode")));
    // Rows in storage are read by the CPU, so the step has to wait until it knows the token.
    if (!this.buffers!.stored) return (this.newest = draw());
    return (this.newest = this.newest!.then(({ token }) => {
      this.need().buffers.loadRows([token]);
      return draw();
    }));
  }

  async logits(): Promise<Float32Array<ArrayBuffer>> {
    const { program, logitsReadback } = this.need();
    const [logits] = await this.submit("tail, alone", (encoder) => {
      program.encode(encoder, "tail");
      return [logitsReadback.encode(encoder)];
    });
    return new Float32Array(logits!);
  }

  layers(ids: readonly number[]): Promise<(Float32Array<ArrayBuffer> | null)[]> {
    const { program, buffers } = this.need();
    this.start(GREEDY, 0);
    this.kept.begin(0);
    return walkLayers(this.manifest.layers, ids, this.prefillSizes, {
      prefill: (chunk) => this.prefill(chunk),
      begin: (chunk) => this.setChunk(chunk),
      run: (step, first, last = Infinity) => {
        const encoder = this.device.createCommandEncoder();
        program.encodePart(encoder, step, first, last);
        this.device.queue.submit([encoder.finish()]);
      },
      read: async ({ buffer, row_bytes }, row) => {
        const bytes = 4 * (this.manifest.facts["hidden_size"] as number);
        const readback = new Readback(this.device, buffers.gpu[buffer]!, row * row_bytes, bytes);
        const [hidden] = await this.submit("a layer", (encoder) => [readback.encode(encoder)]).finally(() => readback.destroy());
        return new Float32Array(hidden!);
      },
    });
  }

  cacheBytes(tokens: number): number {
    return this.need().buffers.usedCaches(tokens).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async copyCaches(tokens: number): Promise<CacheCopy | null> {
    return copyCaches(this.device, this.need().buffers, tokens);
  }

  async unload(): Promise<void> {
    this.watch.fail(new GemletError("unloaded", "the engine was unloaded"));
    this.loaded?.stateReadback.destroy();
    this.loaded?.logitsReadback.destroy();
    this.buffers?.destroy();
    this.device.destroy();
  }

  /** Draws after a step that gives logits. */
  private async drawAfter(step: string, request?: DrawRequest): Promise<Drawn> {
    const { program, logitsReadback, buffers } = this.need();
    const adjustment = request?.adjustment;
    if (adjustment) {
      const { adjustments, mask } = this.manifest.adjust!;
      this.device.queue.writeBuffer(buffers.gpu[adjustments]!, 0, adjustment.words);
      if (adjustment.mask) this.device.queue.writeBuffer(buffers.gpu[mask]!, 0, adjustment.mask);
    }
    return this.draw(`${step} ${adjustment ? "adjusted" : ""}`, (encoder) => {
      program.encode(encoder, step);
      const logits = request?.logits ? logitsReadback.encode(encoder) : undefined;
      program.encode(encoder, adjustment ? "sample_adjusted" : "sample");
      return logits;
    });
  }

  /** `record` encodes a draw, and returns how to read logits where they are wanted. */
  private async draw(step: string, record: (encoder: GPUCommandEncoder) => Read | void): Promise<Drawn> {
    const { stateReadback } = this.need();
    const [state, logits] = await this.submit(step, (encoder) => {
      const logits = record(encoder);
      return [stateReadback.encode(encoder), ...(logits ? [logits] : [])];
    });
    const drawn = this.state.readDrawnFrom(new Int32Array(state!));
    return logits ? { ...drawn, logits: new Float32Array(logits) } : drawn;
  }

  /** Submits what `record` encodes; resolves with the bytes that it reads. */
  private async submit(step: string, record: (encoder: GPUCommandEncoder) => Read[]): Promise<ArrayBuffer[]> {
    const { value: reads, told } = this.watch.first(`the step ${step}`, () => {
      const encoder = this.device.createCommandEncoder();
      const reads = record(encoder);
      this.device.queue.submit([encoder.finish()]);
      return reads;
    });
    const bytes = Promise.all(reads.map((read) => read()));
    await this.watch.unlessFailed(Promise.all([bytes, told, this.grown]));
    return bytes;
  }

  private growCaches(tokens: number): void {
    const { buffers, program } = this.need();
    if (!buffers.wantsSlots(tokens)) return;
    this.watch.forget();
    this.grown = this.watch.first(`memory for ${tokens} tokens`, () => program.rebind(buffers.ensureSlots(tokens))).told;
  }

  private need(): Loaded {
    this.watch.check();
    return this.loaded!;
  }
}
