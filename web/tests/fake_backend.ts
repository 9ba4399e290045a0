/** A backend that recites token ids, and remembers what it was asked. */

import type { Chunk } from "../src/generate/chunks";
import type { ActivationsRequest, Backend, BackendInfo, CacheCopy, Drawn, DrawRequest, Sampling } from "../src/backend/backend";
import { KeptTokens } from "../src/generate/kept_tokens";
import type { Manifest } from "../src/artifact/manifest";

export class FakeBackend implements Backend {
  info: BackendInfo = { name: "webgpu", reason: "a test", adapter: "none", per_layer_embeddings: null, kernels: null, threads: null, module: null, known_answer: null };
  activations: ActivationsRequest = "float";
  readonly weights = { weights: [], write: () => undefined, flush: async () => undefined, stored: null };
  readonly prefillSizes: readonly number[];
  readonly mostInFlight: number;
  readonly parts = { total: 0, unit: "kernels" } as const;
  /** Every call, in order: "start", "prefill 3/4", "sample", "decode", "logits". */
  readonly calls: string[] = [];
  /** Each request's prompt as a model would see it: what the caches held of it, and the chunks. */
  readonly prompts: number[][] = [];
  /** Tokens whose keys and values the caches hold. */
  private held: number[] = [];
  /** What copies may still take. */
  freeBytes = Infinity;
  /** What draws were asked for beyond sampling. */
  readonly requests: DrawRequest[] = [];
  /** Length of the logits, which are 1 for the token that is drawn, else 0. */
  vocabulary = 10;
  private newest = 0;
  sampling: Sampling | undefined;
  /** Steps that were queued and have not resolved. */
  flying = 0;
  mostFlying = 0;
  /** Rejects the draw of this number, with `failure`. */
  failAt = Infinity;
  failure: Error = new Error("the GPU is gone");
  readonly kept: KeptTokens;
  private drawn = 0;

  constructor(
    private readonly script: readonly number[],
    { prefillSizes = [4, 16], mostInFlight = Infinity, window = 512 } = {},
  ) {
    this.kept = new KeptTokens({ facts: { sliding_window: window }, prefill: [...prefillSizes] } as unknown as Manifest);
    this.prefillSizes = prefillSizes;
    this.mostInFlight = mostInFlight;
  }

  async allocate(): Promise<void> {}
  async prepare(): Promise<void> {}
  async complete(): Promise<void> {}
  async withoutVariants(): Promise<boolean> {
    return false;
  }

  start(sampling: Sampling, position: number): void {
    this.calls.push(position === 0 ? "start" : `start ${position}`);
    this.sampling = sampling;
    this.held = this.held.slice(0, position);
    this.prompts.push([...this.held]);
    this.drawn = 0;
  }

  async prefill({ ids, size }: Chunk): Promise<void> {
    this.calls.push(`prefill ${ids.length}/${size}`);
    this.prompts.at(-1)!.push(...ids);
    this.held.push(...ids);
  }

  sample(request?: DrawRequest): Promise<Drawn> {
    this.calls.push("sample");
    return this.draw(request);
  }

  decode(request?: DrawRequest): Promise<Drawn> {
    this.calls.push("decode");
    this.held.push(this.newest);
    return this.draw(request);
  }

  /** A byte a token. */
  cacheBytes(tokens: number): number {
    return tokens;
  }

  async copyCaches(tokens: number): Promise<CacheCopy | null> {
    if (tokens > this.freeBytes) return null;
    const copy = [...this.held];
    this.freeBytes -= tokens;
    return { bytes: tokens, restore: () => (this.held = [...copy]), free: () => void (this.freeBytes += tokens) };
  }

  async logits(): Promise<Float32Array<ArrayBuffer>> {
    this.calls.push("logits");
    return new Float32Array([1, 2, 3]);
  }

  async layers(): Promise<(Float32Array<ArrayBuffer> | null)[]> {
    return [];
  }

  async unload(): Promise<void> {
    this.calls.push("unload");
  }

  private async draw(request?: DrawRequest): Promise<Drawn> {
    if (request) this.requests.push(request);
    const number = this.drawn++;
    const token = (this.newest = this.script[number % this.script.length]!);
    this.mostFlying = Math.max(this.mostFlying, ++this.flying);
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.flying -= 1;
    if (number >= this.failAt) throw this.failure;
    const stops = this.sampling!.stop;
    const finished = this.script.slice(0, number + 1).some((each) => stops.includes(each));
    return request?.logits ? { token, finished, logits: Float32Array.from({ length: this.vocabulary }, (_, id) => (id === token ? 1 : 0)) } : { token, finished };
  }
}
