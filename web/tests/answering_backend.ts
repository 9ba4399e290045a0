/** A backend whose logits tell of every token that it was given, and a manifest that knows what they are for a prompt. */

import type { KnownAnswer, Manifest, Tolerance } from "../src/artifact/manifest";
import type { Drawn, DrawRequest } from "../src/backend/backend";
import type { Chunk } from "../src/generate/chunks";
import { FakeBackend } from "./fake_backend";
import { makeArtifact, PREFILL, VOCABULARY } from "./fixture";

export const IDS = [2, 9, 4, 7, 3, 8, 6];

/** Logits of the last of `ids`, float32 [vocabulary], all different. */
export function logitsOf(ids: readonly number[]): Float32Array<ArrayBuffer> {
  const seed = ids.reduce((sum, id, i) => sum + (i + 1) * id, 0);
  return Float32Array.from({ length: VOCABULARY.length }, (_, token) => ((token * 7919 + seed * 104729) % 10007) / 1000 - 5);
}

function every(value: number): Tolerance {
  return { float: value, float16: value, int16: value, int8: value };
}

export function knownAnswer(): KnownAnswer {
  const logits = [...logitsOf(IDS)];
  const best = logits.map((logit, id): [number, number] => [id, logit]).sort((a, b) => b[1] - a[1]).slice(0, 16);
  const stripes = Array.from({ length: 32 }, (_, s) => {
    const own = logits.filter((_, id) => id % 32 === s);
    const signed = own.map((logit, i) => ([...i.toString(2)].filter((digit) => digit === "1").length % 2 === 1 ? -logit : logit));
    return signed.reduce((sum, each) => sum + each, 0) / Math.sqrt(Math.ceil(logits.length / 32));
  });
  return { ids: IDS, best, stripes, layers: [[1, 2]], tolerance: { best: every(1e-3), stripes: every(1e-3), layers: [every(1e-3)] } };
}

export async function answeringManifest(): Promise<Manifest> {
  const { manifest } = await makeArtifact("abc");
  return { ...manifest, adjust: { adjustments: 0, mask: 0 }, known_answer: knownAnswer() };
}

export class AnsweringBackend extends FakeBackend {
  /** Changes the logits, as a wrong kernel might. `by`: the step that gave them. */
  spoil: (logits: Float32Array<ArrayBuffer>, by: string) => void = () => undefined;
  private readonly ids: number[] = [];
  private next: number | undefined;
  private size = 0;

  constructor({ prefillSizes = PREFILL } = {}) {
    super([1], { prefillSizes });
    this.info = { ...this.info, adapter: "acme" };
  }

  override start(...args: Parameters<FakeBackend["start"]>): void {
    super.start(...args);
    this.ids.length = args[1];
    this.next = undefined;
  }

  override async prefill(chunk: Chunk): Promise<void> {
    await super.prefill(chunk);
    this.ids.push(...chunk.ids);
    this.size = chunk.size;
  }

  override async logits(): Promise<Float32Array<ArrayBuffer>> {
    this.calls.push("logits");
    return this.compute(`tail of ${this.size}`);
  }

  override async sample(request?: DrawRequest): Promise<Drawn> {
    this.calls.push("sample");
    return this.drawOnly("tail", request);
  }

  override async decode(request?: DrawRequest): Promise<Drawn> {
    this.calls.push("decode");
    this.ids.push(this.next!);
    return this.drawOnly("decode", request);
  }

  private compute(by: string): Float32Array<ArrayBuffer> {
    const logits = logitsOf(this.ids);
    this.spoil(logits, by);
    return logits;
  }

  /** The token that the mask allows, or the largest. */
  private async drawOnly(by: string, request?: DrawRequest): Promise<Drawn> {
    const logits = this.compute(by);
    const mask = request?.adjustment?.mask;
    const allowed = [...logits.keys()].filter((id) => !mask || mask[id >>> 5]! & (1 << (id & 31)));
    this.next = allowed.reduce((best, id) => (logits[id]! > logits[best]! ? id : best));
    return { token: this.next, finished: false, ...(request?.logits && { logits }) };
  }
}
