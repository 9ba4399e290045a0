/** A table in GPU memory: in one part, or in several where the device binds no buffer of its size. */

import type { BufferSpec, Manifest, Table } from "../artifact/manifest";
import { createStorage } from "./create_storage";
import type { PlacedTable, Substitutes } from "./placed_table";

/** Neighbouring rows of a table. */
export interface Rows {
  first: number;
  count: number;
}

/**
 * As few parts of whole rows as there can be with at most `limit` bytes in each, which is more than a row has. `rowBytes`: of the widest of
 * a table's buffers.
 */
export function splitRows(rows: number, rowBytes: number, limit: number): Rows[] {
  const most = Math.floor(limit / rowBytes);
  const parts: Rows[] = [];
  for (let first = 0; first < rows; first += most) parts.push({ first, count: Math.min(most, rows - first) });
  return parts;
}

export class GpuTable implements PlacedTable {
  readonly substitutes: Substitutes[];
  private readonly parts: Rows[];

  constructor(
    private readonly device: GPUDevice,
    private readonly manifest: Manifest,
    readonly table: Table,
  ) {
    const specs = table.buffers.map((index) => manifest.buffers[index]!);
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    const widest = Math.max(...specs.map((spec) => this.rowBytes(spec)));
    this.parts = splitRows(table.rows, widest, Math.min(maxStorageBufferBindingSize, maxBufferSize));
    this.substitutes = this.parts.map(({ first, count }) => {
      const buffers = new Map(table.buffers.map((index, i) => [index, createStorage(device, specs[i]!.name, count * this.rowBytes(specs[i]!))]));
      const part = manifest.buffers[table.part]!;
      return buffers.set(table.part, createStorage(device, part.name, part.bytes, Int32Array.of(first, count, table.rows)));
    });
  }

  write(buffer: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (buffer === this.table.part) return; // each part has its own
    const rowBytes = this.rowBytes(this.manifest.buffers[buffer]!);
    for (const [i, { first, count }] of this.parts.entries()) {
      const [start, end] = [first * rowBytes, (first + count) * rowBytes];
      const from = Math.max(start, offset);
      const to = Math.min(end, offset + bytes.length);
      if (from < to) this.device.queue.writeBuffer(this.substitutes[i]!.get(buffer)!, from - start, bytes.subarray(from - offset, to - offset));
    }
  }

  load(): void {}

  private rowBytes({ bytes }: BufferSpec): number {
    return bytes / this.table.rows;
  }
}
