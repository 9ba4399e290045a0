/** Brings an artifact's weights to a backend, and keeps them in the browser where it has room for them. */

import type { Manifest } from "../artifact/manifest";
import { makeRoom } from "../artifact/room";
import { ShardSource } from "../artifact/shard_source";
import { loadShards, neededShards, type ShardSink } from "../artifact/shards";
import { openStore, type StorePlace } from "../artifact/store";
import { claimModel, storedSizes } from "../artifact/stored_models";
import { GemletError } from "../errors";
import type { BackendLoad } from "./load_backend";

const MOST_REPORTS_PER_SECOND = 20;

/** Where a model's weights came from, and whether they are kept for the next load. */
export interface StorageInfo {
  /** "files": the browser's private files (OPFS); "cache": its Cache API; "none": it keeps nothing for this site. */
  place: StorePlace | "none";
  /** Bytes that were downloaded, and bytes that an earlier load, or another tab, had stored. */
  network_bytes: number;
  stored_bytes: number;
  /** Whether the browser has promised not to clear what it keeps by itself. */
  persistent: boolean;
  /** Why not all of the model is kept; null: it is. */
  note: string | null;
}

/** Throws GemletError as loadShards, and "storage" where a table is to be read from the browser's storage and does not fit. */
export async function loadWeights(sink: ShardSink, load: BackendLoad, signal: AbortSignal): Promise<StorageInfo> {
  const { folder, manifest, onProgress } = load;
  const needed = neededShards(manifest, sink);
  const total = bytesOf(manifest, needed);
  let loaded = 0;
  let reportedAt = 0;
  const onBytes = (count: number): void => {
    loaded += count;
    const now = performance.now();
    if (loaded < total && now - reportedAt < 1000 / MOST_REPORTS_PER_SECOND) return;
    reportedAt = now;
    onProgress({ phase: "weights", loaded, total, unit: "bytes" });
  };
  onBytes(0);
  const store = await openStore();
  const refusal = store ? await prepareStorage(load, needed, sink) : "this browser, or this window of it, keeps nothing for the site";
  const source = new ShardSource(folder, store, refusal, onBytes);
  await loadShards(manifest, sink, source, signal);
  const { network, stored } = source.counts;
  const persistent = (await navigator.storage?.persisted?.()) ?? false;
  return { place: store?.place ?? "none", network_bytes: network, stored_bytes: stored, persistent, note: source.refusal };
}

/** Null where the shards can be kept; else why not. */
async function prepareStorage({ folder, manifest, askForRoom }: BackendLoad, needed: readonly number[], { stored }: ShardSink): Promise<string | null> {
  try {
    await claimModel(folder, manifest);
  } catch (cause) {
    return `the browser's storage refused to keep the model: ${(cause as Error).message}`;
  }
  const sizes = await storedSizes();
  const missing = needed.filter((index) => (sizes.get(manifest.shards[index]!.sha256) ?? 0) < manifest.shards[index]!.bytes);
  const kept = missing.reduce((sum, index) => sum + (sizes.get(manifest.shards[index]!.sha256) ?? 0), 0);
  const refusal = await makeRoom(folder, bytesOf(manifest, missing) - kept, askForRoom);
  if (refusal !== null && missing.some((index) => stored?.wants(index))) {
    const rows = needed.filter((index) => stored!.wants(index));
    const take = `per-layer embeddings take ${Math.ceil(bytesOf(manifest, rows) / 2 ** 20)} MiB of it`;
    const advice = 'Make room on the disk, or load with perLayerEmbeddings "gpu"';
    throw new GemletError("storage", `no room in the browser's storage: ${refusal}; ${take}. ${advice}`);
  }
  return refusal;
}

function bytesOf({ shards }: Manifest, indices: readonly number[]): number {
  return indices.reduce((sum, index) => sum + shards[index]!.bytes, 0);
}
