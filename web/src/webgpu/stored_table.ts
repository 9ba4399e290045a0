/** A table outside GPU memory: before each step, the rows of its tokens come from storage into small buffers. */

import type { Manifest, Table } from "../artifact/manifest";
import type { StoredRows } from "../artifact/stored_rows";
import { createStorage } from "./create_storage";
import type { PlacedTable, Substitutes } from "./placed_table";

export class StoredTable implements PlacedTable {
  readonly substitutes: Substitutes[];
  /** For each buffer of the table, its rows on their way to the GPU. */
  private readonly staged: { index: number; buffer: GPUBuffer; bytes: Uint8Array<ArrayBuffer>; rowBytes: number }[];

  constructor(
    private readonly device: GPUDevice,
    manifest: Manifest,
    readonly table: Table,
    private readonly stored: StoredRows,
  ) {
    const { buffers, state, prefill } = manifest;
    const chunk = Math.max(...prefill);
    this.staged = table.buffers.map((index) => {
      const { name, bytes } = buffers[index]!;
      const rowBytes = bytes / table.rows;
      return { index, rowBytes, bytes: new Uint8Array(chunk * rowBytes), buffer: createStorage(device, name, chunk * rowBytes) };
    });
    // The rows lie in the order of their tokens: to the kernel token 0 has id 0, token 1 id 1, and so on, in a table of `chunk` rows.
    const [part, words] = [buffers[table.part]!, buffers[state.buffer]!];
    const ids = new Int32Array(words.bytes / 4);
    for (let token = 0; token < chunk; token++) ids[state.fields.tokens + token] = token;
    this.substitutes = [
      new Map([
        ...this.staged.map(({ index, buffer }) => [index, buffer] as const),
        [table.part, createStorage(device, part.name, part.bytes, Int32Array.of(0, chunk, chunk))],
        [state.buffer, createStorage(device, `${part.name}.ids`, words.bytes, ids)],
      ]),
    ];
  }

  write(): void {}

  load(ids: readonly number[]): void {
    for (const { index, buffer, bytes, rowBytes } of this.staged) {
      for (const [token, id] of ids.entries()) {
        // As the kernel does with ids outside the table.
        const row = Math.max(0, Math.min(this.table.rows - 1, id));
        this.stored.read(index, row * rowBytes, bytes.subarray(token * rowBytes, (token + 1) * rowBytes));
      }
      this.device.queue.writeBuffer(buffer, 0, bytes, 0, ids.length * rowBytes);
    }
  }
}
