/** Brings an artifact's weights to a backend, and keeps them in the browser where it has room for them. */

import type { Manifest } from "../artifact/manifest";
import { makeRoom, offerModels } from "../artifact/room";
import { isPersistent } from "../artifact/site_quota";
import { ShardSource } from "../artifact/shard_source";
import { loadShards, neededShards, type ShardSink } from "../artifact/shards";
import { openStore, type StorePlace } from "../artifact/store";
import { claimModel, storedSizes } from "../artifact/stored_models";
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
  let offered: Promise<boolean> | undefined;
  const offerOnce = (): Promise<boolean> => (offered ??= missingBytes(manifest, needed).then((bytes) => offerModels(folder, bytes, 0, load.askForRoom)));
  const source = new ShardSource(folder, store, refusal, offerOnce, onBytes);
  await loadShards(manifest, sink, source, signal);
  const { network, stored } = source.counts;
  const persistent = await isPersistent();
  return { place: store?.place ?? "none", network_bytes: network, stored_bytes: stored, persistent, note: source.refusal };
}

/** Null where the shards can be kept; else why not. */
async function prepareStorage({ folder, manifest, askForRoom }: BackendLoad, needed: readonly number[], { stored }: ShardSink): Promise<string | null> {
  try {
    await claimModel(folder, manifest);
  } catch (cause) {
    return `the browser's storage refused to keep the model: ${(cause as Error).message}`;
  }
  const refusal = await makeRoom(folder, await missingBytes(manifest, needed), askForRoom);
  if (refusal !== null && stored) {
    const rows = needed.filter((index) => stored.wants(index));
    if ((await missingBytes(manifest, rows)) > 0) throw stored.noRoom(refusal);
  }
  return refusal;
}

/** Bytes of these shards that are not kept yet. */
async function missingBytes({ shards }: Manifest, indices: readonly number[]): Promise<number> {
  const sizes = await storedSizes();
  return indices.reduce((sum, index) => sum + Math.max(0, shards[index]!.bytes - (sizes.get(shards[index]!.sha256) ?? 0)), 0);
}

function bytesOf({ shards }: Manifest, indices: readonly number[]): number {
  return indices.reduce((sum, index) => sum + shards[index]!.bytes, 0);
}
