/** Rows of tables, read out of stored shards when they are wanted. */

import type { Manifest, Piece, Shard } from "./manifest";
import type { ShardStore, StoredShard } from "./store";

export class StoredRows {
  /** Shards that hold rows, by their index. */
  private readonly shards: ReadonlyMap<number, Shard>;
  private readonly pieces: ReadonlyMap<number, Piece[]>;
  private readonly files = new Map<number, StoredShard>();

  constructor(
    manifest: Manifest,
    private readonly store: ShardStore,
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

  /** The shard, where the store has it whole; it stays open for `read`. Throws GemletError "storage". */
  async find(shard: number): Promise<StoredShard | null> {
    const file = await this.store.find(this.shards.get(shard)!);
    if (file) this.files.set(shard, file);
    return file;
  }

  /** Keeps a shard whose bytes have been checked. Throws GemletError "storage". */
  async put(shard: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const total = [...this.shards.values()].reduce((sum, each) => sum + each.bytes, 0);
    this.files.set(shard, await this.store.put(this.shards.get(shard)!, bytes, total));
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
