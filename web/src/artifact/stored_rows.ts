/** Rows of tables, read out of stored shards when they are wanted. */

import { GemletError } from "../errors";
import type { FileStore, StoredShard } from "./file_store";
import type { Manifest, Piece, Shard } from "./manifest";

export class StoredRows {
  /** Shards that hold rows, by their index. */
  private readonly shards: ReadonlyMap<number, Shard>;
  private readonly pieces: ReadonlyMap<number, Piece[]>;
  private readonly files = new Map<number, StoredShard>();

  constructor(
    manifest: Manifest,
    private readonly store: FileStore,
  ) {
    const buffers = new Set(manifest.tables.flatMap((table) => table.buffers));
    const ofTables = manifest.weights.filter(({ buffer }) => buffers.has(buffer));
    this.pieces = new Map(ofTables.map(({ buffer, pieces }) => [buffer, [...pieces].sort((a, b) => a[3] - b[3])]));
    this.shards = new Map(ofTables.flatMap(({ pieces }) => pieces.map(([index]) => [index, manifest.shards[index]!])));
  }

  /** Whether it reads this buffer, so that nothing else needs its bytes. */
  has(buffer: number): boolean {
    return this.pieces.has(buffer);
  }

  /** Whether this shard is to be kept. */
  wants(shard: number): boolean {
    return this.shards.has(shard);
  }

  /** Opens a shard that has been loaded, for `read`. Throws GemletError "storage", which tells `refusal`: why the store keeps no more; null: it does. */
  async open(shard: number, refusal: string | null): Promise<void> {
    const file = await this.store.open(this.shards.get(shard)!).catch((error: unknown) => {
      throw refusal === null ? error : this.noRoom(refusal);
    });
    this.files.set(shard, file);
  }

  /** The error where the browser does not keep the table; `refusal` says why. */
  noRoom(refusal: string): GemletError {
    const bytes = [...this.shards.values()].reduce((sum, each) => sum + each.bytes, 0);
    const needed = `per-layer embeddings take ${Math.ceil(bytes / 2 ** 20)} MiB of the browser's storage`;
    return new GemletError("storage", `${needed}, but ${refusal}. Make room on the disk, or load with perLayerEmbeddings "gpu"`);
  }

  /** Fills `into` from byte `at` of the buffer on; where a shard ends there, from several. Throws GemletError "storage". */
  read(buffer: number, at: number, into: Uint8Array<ArrayBuffer>): void {
    const pieces = this.pieces.get(buffer)!;
    let index = lastAtOrBefore(pieces, at);
    for (let done = 0; done < into.length; index++) {
      const [shard, start, length, target] = pieces[index]!;
      const skipped = at + done - target;
      const count = Math.min(length - skipped, into.length - done);
      this.files.get(shard)!.read(into.subarray(done, done + count), start + skipped);
      done += count;
    }
  }

  close(): void {
    for (const file of this.files.values()) file.close();
    this.files.clear();
  }
}

/** Index of the last piece that starts at or before byte `at` of the buffer. */
function lastAtOrBefore(pieces: readonly Piece[], at: number): number {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pieces[middle]![3] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}
