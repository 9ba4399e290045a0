/** GPU buffers of a Program. Linear caches start small and grow. */

import type { BufferSpec, Manifest } from "../artifact/manifest";
import { GemletError } from "../errors";

const FIRST_SLOTS = 1024;

export class Buffers {
  readonly gpu: GPUBuffer[];
  /** Indices of linear caches, with the slots that each has now. */
  private readonly slots = new Map<number, number>();

  private constructor(
    private readonly device: GPUDevice,
    private readonly specs: readonly BufferSpec[],
  ) {
    this.gpu = specs.map((spec, index) => {
      if (spec.slots !== undefined) this.slots.set(index, slotsFor(spec, Math.min(FIRST_SLOTS, spec.slots)));
      return this.allocate(index);
    });
  }

  /** Throws GemletError "gpu-error" where the GPU has too little memory. */
  static async create(device: GPUDevice, manifest: Manifest): Promise<Buffers> {
    device.pushErrorScope("out-of-memory");
    device.pushErrorScope("validation");
    const buffers = new Buffers(device, manifest.buffers);
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    const error = errors.find((each) => each !== null);
    if (error) {
      const mebibytes = Math.ceil(buffers.gpu.reduce((sum, buffer) => sum + buffer.size, 0) / 2 ** 20);
      buffers.destroy();
      throw new GemletError("gpu-error", `the GPU did not give the ${mebibytes} MiB that the model needs: ${error.message}`);
    }
    return buffers;
  }

  /**
   * Lets every linear cache hold `tokens` slots, or all that it can have. Returns the indices of buffers that were
   * replaced: bind groups of them have to be made again.
   */
  ensureSlots(tokens: number): Set<number> {
    const replaced = new Set<number>();
    let encoder: GPUCommandEncoder | undefined;
    const old: GPUBuffer[] = [];
    for (const [index, slots] of this.slots) {
      const spec = this.specs[index]!;
      let wanted = slots;
      while (wanted < Math.min(tokens, spec.slots!)) wanted = slotsFor(spec, Math.min(2 * wanted, spec.slots!));
      if (wanted === slots) continue;
      const before = this.gpu[index]!;
      this.slots.set(index, wanted);
      this.gpu[index] = this.allocate(index);
      encoder ??= this.device.createCommandEncoder();
      encoder.copyBufferToBuffer(before, 0, this.gpu[index], 0, before.size);
      old.push(before);
      replaced.add(index);
    }
    if (encoder) this.device.queue.submit([encoder.finish()]);
    for (const buffer of old) buffer.destroy();
    return replaced;
  }

  destroy(): void {
    for (const buffer of this.gpu) buffer.destroy();
  }

  private allocate(index: number): GPUBuffer {
    const spec = this.specs[index]!;
    const slots = this.slots.get(index);
    return this.device.createBuffer({
      label: spec.name,
      size: slots === undefined ? spec.bytes : slots * spec.slot_bytes!,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  }
}

/** `slots` rounded up to the buffer's tile, but not past what it may have. */
function slotsFor(spec: BufferSpec, slots: number): number {
  const tile = spec.slot_tile!;
  return Math.min(Math.ceil(slots / tile) * tile, spec.slots!);
}
