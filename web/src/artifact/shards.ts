/** Brings the weights in their shards to where they belong. */

import type { Manifest, Weight } from "./manifest";
import type { ShardSource } from "./shard_source";
import type { StoredRows } from "./stored_rows";

/** Each lane holds one shard in memory: 2 x 32 MiB, and the copy that `digest` makes of one. */
const LANES = 2;

type Bytes = Uint8Array<ArrayBuffer>;

/** Where checked bytes go. */
export interface ShardSink {
  /** What it takes, each with a number of the sink's own. */
  readonly weights: readonly Weight[];
  /** Takes bytes to `offset` of a buffer of `weights`; copies them. */
  write(buffer: number, offset: number, bytes: Bytes): void;
  /** Resolves when all that was written has left this program's memory. */
  flush(): Promise<void>;
  /** Tables that are read out of stored shards, so that nothing of them is written; null: there are none. */
  readonly stored: StoredRows | null;
}

/** A part of a shard: [offset in shard, bytes, buffer, offset in buffer]. */
type Target = [number, number, number, number];

/**
 * Loads what `sink` takes of the manifest's shards into it. Throws GemletError as `source` does, and "storage" where a shard of a stored table was not kept.
 */
export async function loadShards(manifest: Manifest, sink: ShardSink, source: ShardSource, signal?: AbortSignal): Promise<void> {
  const { stored } = sink;
  const targets = targetsByShard(manifest, sink);
  const needed = neededShards(manifest, sink);
  const largest = Math.max(0, ...needed.map((index) => manifest.shards[index]!.bytes));
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  let next = 0;
  let firstCame = (): void => undefined;
  const first = new Promise<void>((resolve) => (firstCame = resolve));

  const lane = async (): Promise<void> => {
    let memory = new ArrayBuffer(largest + 1);
    for (let turn = next++; turn < needed.length; turn = next++) {
      const index = needed[turn]!;
      const shard = manifest.shards[index]!;
      memory = await source.load(memory, shard, either);
      firstCame();
      if (stored?.wants(index)) await stored.open(index, source.refusal);
      const bytes = new Uint8Array(memory, 0, shard.bytes);
      await source.oneAtATime(async () => {
        for (const [start, length, buffer, offset] of targets[index]!) {
          sink.write(buffer, offset, bytes.subarray(start, start + length));
        }
        await sink.flush();
      });
    }
  };
  try {
    // What the store gives needs no second lane: there is no network to wait for, and the copies that `digest` makes would pile up.
    const others = Array.from({ length: Math.max(0, Math.min(LANES, needed.length) - 1) }, () => first.then(() => (source.counts.network > 0 ? lane() : undefined)));
    await Promise.all([lane(), ...others]);
  } catch (error) {
    stop.abort(); // the other lane
    throw error;
  }
}

/** Indices of the shards that `sink` takes something of. */
export function neededShards(manifest: Manifest, sink: ShardSink): number[] {
  const targets = targetsByShard(manifest, sink);
  return [...manifest.shards.keys()].filter((index) => targets[index]!.length > 0 || sink.stored?.wants(index));
}

/** What of each shard is to be written. */
function targetsByShard(manifest: Manifest, { weights, stored }: ShardSink): Target[][] {
  const targets: Target[][] = manifest.shards.map(() => []);
  for (const weight of weights) {
    if (stored?.has(weight.buffer)) continue;
    for (const [shard, start, length, offset] of weight.pieces) {
      targets[shard]!.push([start, length, weight.buffer, offset]);
    }
  }
  return targets;
}
