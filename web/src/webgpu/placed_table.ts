/** A table where it lies, as the launches that read it see it. */

import type { Table } from "../artifact/manifest";

/** Buffers that a launch binds in place of its own, by their index in the manifest. */
export type Substitutes = ReadonlyMap<number, GPUBuffer>;

export interface PlacedTable {
  readonly table: Table;
  /** A launch that reads the table is made once with each of these. */
  readonly substitutes: readonly Substitutes[];
  /** Takes weights to `offset` of one of the table's buffers, where they belong into GPU memory. */
  write(buffer: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void;
  /** Queues the rows of these tokens for the next step, where they are not there already. Throws GemletError "storage". */
  load(ids: readonly number[]): void;
}
