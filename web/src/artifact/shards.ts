/** Streams the weight shards to where they belong, each checked against its SHA-256 before a byte of it is used. */

import { GemletError } from "../errors";
import { fetchInto } from "./fetching";
import { sha256 } from "./hash";
import type { Manifest, Shard, Weight } from "./manifest";
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
 * Loads what `sink` takes of the manifest's shards into it. `folder` is the artifact's address with a slash at its end.
 * Throws GemletError "bad-artifact" for a shard with another length or hash, "storage", "network" or "aborted".
 */
export async function loadShards(
  manifest: Manifest,
  folder: string,
  sink: ShardSink,
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { stored } = sink;
  const targets = targetsByShard(manifest, sink);
  const needed = neededShards(manifest, sink);
  const largest = Math.max(0, ...needed.map((index) => manifest.shards[index]!.bytes));
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  let next = 0;
  let checking = Promise.resolve();

  /** Whether the store has the shard; what else is in it is then in `bytes`. */
  const readStored = async (index: number, bytes: Bytes): Promise<boolean> => {
    const file = stored?.wants(index) ? await stored.find(index) : null;
    if (file && targets[index]!.length > 0) file.read(bytes, 0);
    return file !== null;
  };

  const lane = async (): Promise<void> => {
    let memory = new ArrayBuffer(largest + 1);
    for (let turn = next++; turn < needed.length; turn = next++) {
      const index = needed[turn]!;
      const shard = manifest.shards[index]!;
      const isStored = await readStored(index, new Uint8Array(memory, 0, shard.bytes));
      if (isStored) onBytes(shard.bytes);
      else memory = await fetchInto(memory, folder + shard.file, shard.bytes, onBytes, either);
      const bytes = new Uint8Array(memory, 0, shard.bytes);
      // One at a time: `digest` copies its input, and two copies more would be too much memory.
      checking = checking.then(async () => {
        if (!isStored) {
          await checkHash(bytes, shard, folder);
          if (stored?.wants(index)) await stored.put(index, bytes);
        }
        for (const [start, length, buffer, offset] of targets[index]!) {
          sink.write(buffer, offset, bytes.subarray(start, start + length));
        }
        await sink.flush();
      });
      await checking;
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(LANES, needed.length) }, lane));
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

async function checkHash(bytes: Bytes, shard: Shard, folder: string): Promise<void> {
  const found = await sha256(bytes);
  if (found !== shard.sha256) {
    throw new GemletError(
      "bad-artifact",
      `${folder}${shard.file}: the shard is damaged: expected SHA-256 ${shard.sha256}, found ${found}; load again or upload it again`,
    );
  }
}
