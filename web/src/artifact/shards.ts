/** Streams the weight shards into GPU buffers, each checked against its SHA-256 before a byte of it is used. */

import { GemletError } from "../errors";
import { fetchInto } from "./fetching";
import type { Manifest, Shard } from "./manifest";

/** Each lane holds one shard in memory: 2 x 32 MiB, and the copy that `digest` makes of one. */
const LANES = 2;

/** Where checked bytes go. */
export interface ShardSink {
  /** Takes bytes to `offset` of a buffer; copies them. */
  write(buffer: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void;
  /** Resolves when all that was written has left this program's memory. */
  flush(): Promise<void>;
}

/** A part of a shard: [offset in shard, bytes, buffer, offset in buffer]. */
type Target = [number, number, number, number];

/**
 * Loads all shards of the manifest into `sink`. `folder` is the artifact's address with a slash at its end.
 * Throws GemletError "bad-artifact" for a shard with another length or hash, "network" or "aborted".
 */
export async function loadShards(
  manifest: Manifest,
  folder: string,
  sink: ShardSink,
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const targets = targetsByShard(manifest);
  const largest = Math.max(0, ...manifest.shards.map((shard) => shard.bytes));
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  let next = 0;
  let checking = Promise.resolve();

  const lane = async (): Promise<void> => {
    let memory = new ArrayBuffer(largest + 1);
    for (let index = next++; index < manifest.shards.length; index = next++) {
      const shard = manifest.shards[index]!;
      memory = await fetchInto(memory, folder + shard.file, shard.bytes, onBytes, either);
      const bytes = new Uint8Array(memory, 0, shard.bytes);
      // One at a time: `digest` copies its input, and two copies more would be too much memory.
      checking = checking.then(async () => {
        await checkHash(bytes, shard, folder);
        for (const [start, length, buffer, offset] of targets[index]!) {
          sink.write(buffer, offset, bytes.subarray(start, start + length));
        }
        await sink.flush();
      });
      await checking;
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(LANES, manifest.shards.length) }, lane));
  } catch (error) {
    stop.abort(); // the other lane
    throw error;
  }
}

function targetsByShard(manifest: Manifest): Target[][] {
  const targets: Target[][] = manifest.shards.map(() => []);
  for (const weight of manifest.weights) {
    for (const [shard, start, length, offset] of weight.pieces) {
      targets[shard]!.push([start, length, weight.buffer, offset]);
    }
  }
  return targets;
}

async function checkHash(bytes: Uint8Array<ArrayBuffer>, shard: Shard, folder: string): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== shard.sha256) {
    throw new GemletError(
      "bad-artifact",
      `${folder}${shard.file}: the shard is damaged: expected SHA-256 ${shard.sha256}, found ${found}; load again or upload it again`,
    );
  }
}
