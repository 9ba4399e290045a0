/** The state words as the CPU writes and reads them (docs/artifact.md, "State words"). */

import { type Manifest, OUTPUT_RING, type StateField } from "../artifact/manifest";
import type { Drawn, Sampling } from "./backend";

export class State {
  private readonly fields: Record<StateField, number>;
  private readonly ints: Int32Array;
  private readonly uints: Uint32Array;
  private readonly floats: Float32Array;

  /** The state in `bytes` bytes of `memory`: the very words that kernels read, or a copy that goes to them before a chunk. */
  constructor(manifest: Manifest, memory: ArrayBufferLike, offset = 0, bytes = memory.byteLength) {
    this.fields = manifest.state.fields;
    this.ints = new Int32Array(memory, offset, bytes / 4);
    this.uints = new Uint32Array(memory, offset, bytes / 4);
    this.floats = new Float32Array(memory, offset, bytes / 4);
  }

  start(sampling: Sampling): void {
    this.ints.fill(0);
    this.floats[this.fields.temperature] = sampling.temperature;
    this.ints[this.fields.top_k] = sampling.top_k;
    this.floats[this.fields.top_p] = sampling.top_p;
    this.floats[this.fields.min_p] = sampling.min_p;
    this.uints[this.fields.seed] = sampling.seed;
    this.ints[this.fields.stop_count] = sampling.stop.length;
    this.ints.set(sampling.stop, this.fields.stop);
  }

  /** `blocks`: the image, numbered from 1, that each token belongs to; 0 for text. */
  setChunk(position: number, ids: readonly number[], blocks: readonly number[] = []): void {
    this.ints[this.fields.position] = position;
    this.ints[this.fields.length] = ids.length;
    this.ints.fill(0, this.fields.blocks, this.fields.tokens);
    this.ints.set(blocks, this.fields.blocks);
    this.ints.set(ids, this.fields.tokens);
  }

  /** The newest token, where kernels wrote here. */
  readDrawn(): Drawn {
    return this.readDrawnFrom(this.ints);
  }

  /** The newest token in a copy of the words. */
  readDrawnFrom(ints: Int32Array): Drawn {
    const newest = ints[this.fields.generated]! - 1;
    return {
      token: ints[this.fields.output + (newest % OUTPUT_RING)]!,
      finished: ints[this.fields.finished] !== 0,
    };
  }
}
