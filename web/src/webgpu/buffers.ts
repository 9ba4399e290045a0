/** GPU buffers of a Program. Linear caches start small and grow; tables have places of their own. */

import type { BufferSpec, Launch, Manifest } from "../artifact/manifest";
import type { StoredRows } from "../artifact/stored_rows";
import { usedBytes } from "../backend/used_bytes";
import { GemletError } from "../errors";
import { createStorage } from "./create_storage";
import { scoped } from "./device_watch";
import { GpuTable } from "./gpu_table";
import type { PlacedTable, Substitutes } from "./placed_table";
import { StoredTable } from "./stored_table";

const FIRST_SLOTS = 1024;

/** What a launch binds that reads no table: its own buffers. */
const NONE: readonly Substitutes[] = [new Map()];

export class Buffers {
  /** By index in the manifest; undefined for those of tables. */
  readonly gpu: (GPUBuffer | undefined)[];
  private readonly tables: readonly PlacedTable[];
  private readonly specs: readonly BufferSpec[];
  /** Indices of linear caches, with the slots that each has now. */
  private readonly slots = new Map<number, number>();

  private constructor(
    private readonly device: GPUDevice,
    manifest: Manifest,
    readonly stored: StoredRows | null,
  ) {
    this.specs = manifest.buffers;
    this.tables = manifest.tables.map((table) => (stored ? new StoredTable(device, manifest, table, stored) : new GpuTable(device, manifest, table)));
    const ofTables = new Set(manifest.tables.flatMap((table) => [...table.buffers, table.part]));
    this.gpu = manifest.buffers.map((spec, index) => {
      if (ofTables.has(index)) return undefined;
      if (spec.slots !== undefined) this.slots.set(index, slotsFor(spec, Math.min(FIRST_SLOTS, spec.slots)));
      return this.allocate(index);
    });
  }

  /** `stored`: where tables are read from; null: they lie in GPU memory. Throws GemletError "gpu-error" where the GPU has too little of it. */
  static async create(device: GPUDevice, manifest: Manifest, stored: StoredRows | null): Promise<Buffers> {
    const { value: buffers, error: told } = scoped(device, () => new Buffers(device, manifest, stored));
    const error = await told;
    if (error) {
      const mebibytes = Math.ceil(buffers.all().reduce((sum, buffer) => sum + buffer.size, 0) / 2 ** 20);
      buffers.destroy();
      throw new GemletError("gpu-error", `the GPU did not give the ${mebibytes} MiB that the model needs: ${error.message}`);
    }
    return buffers;
  }

  /** Puts weights in their place. */
  write(index: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    const buffer = this.gpu[index];
    if (buffer) return this.device.queue.writeBuffer(buffer, offset, bytes);
    this.tables.find(({ table }) => table.part === index || table.buffers.includes(index))!.write(index, offset, bytes);
  }

  /** Queues what the next step reads of tables for these tokens. Throws GemletError "storage". */
  loadRows(ids: readonly number[]): void {
    for (const table of this.tables) table.load(ids);
  }

  /** How often a launch is made, and what it binds each time in place of its own buffers. */
  substitutes({ buffers }: Launch): readonly Substitutes[] {
    return this.tables.find(({ table }) => buffers.includes(table.part))?.substitutes ?? NONE;
  }

  /** Whether some linear cache is too small for `tokens`, and can be larger. */
  wantsSlots(tokens: number): boolean {
    return [...this.slots].some(([index, slots]) => slots < Math.min(tokens, this.specs[index]!.slots!));
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

  /** Of each cache, its index and how many of its first bytes hold what was written of `tokens` tokens. */
  usedCaches(tokens: number): { index: number; bytes: number }[] {
    return this.specs.flatMap((spec, index) => (spec.kind === "cache" ? [{ index, bytes: usedBytes(spec, this.gpu[index]!.size, tokens) }] : []));
  }

  destroy(): void {
    for (const buffer of this.all()) buffer.destroy();
    this.stored?.close();
  }

  private all(): GPUBuffer[] {
    const ofTables = this.tables.flatMap(({ substitutes }) => substitutes.flatMap((each) => [...each.values()]));
    return [...this.gpu.filter((buffer) => buffer !== undefined), ...ofTables];
  }

  private allocate(index: number): GPUBuffer {
    const spec = this.specs[index]!;
    const slots = this.slots.get(index);
    return createStorage(this.device, spec.name, slots === undefined ? spec.bytes : slots * spec.slot_bytes!);
  }
}

/** `slots` rounded up to the buffer's tile, but not past what it may have. */
function slotsFor(spec: BufferSpec, slots: number): number {
  const tile = spec.slot_tile!;
  return Math.min(Math.ceil(slots / tile) * tile, spec.slots!);
}
