/** The models that the browser keeps for this site. */

import { withoutQuery } from "./addresses";
import { withLock } from "./locks";
import type { Manifest } from "./manifest";
import { removeTexts } from "./model_texts";
import { modelRecords, recordModel, removeRecord } from "./model_records";
import { findStores } from "./store";

export interface StoredModel {
  /** The artifact's absolute address with a slash at its end, without a query. */
  folder: string;
  name: string;
  title: string;
  /** Bytes of it that are kept; those of shards that two models share count for both. */
  bytes: number;
  /** Bytes of all its shards. */
  total_bytes: number;
  /** When it was last loaded, in milliseconds since 1970. */
  last_used: number;
}

const LOCK = "gemlet-models";

/** Models of which something is kept, the least recently used first. */
export async function storedModels(): Promise<StoredModel[]> {
  const [records, sizes] = [await modelRecords(), await storedSizes()];
  const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);
  const models = records.map(({ shards, ...record }) => ({
    ...record,
    bytes: sum(shards.map(({ sha256 }) => sizes.get(sha256) ?? 0)),
    total_bytes: sum(shards.map(({ bytes }) => bytes)),
  }));
  return models.filter(({ bytes }) => bytes > 0).sort((a, b) => a.last_used - b.last_used);
}

/** Bytes that are kept of each shard, by its SHA-256. */
export async function storedSizes(): Promise<Map<string, number>> {
  const stores = await findStores();
  // Of a store that does not read, nothing counts as kept.
  const sizes = await Promise.all(stores.map((store) => store.sizes().catch(() => new Map<string, number>())));
  return new Map(sizes.flatMap((each) => [...each]));
}

/** Says that the model's shards are wanted, as its manifest has them now; frees shards of older versions that no model has any more. */
export function claimModel(folder: string, manifest: Manifest): Promise<void> {
  return withLock(LOCK, async () => {
    await recordModel(withoutQuery(folder), manifest);
    await freeUnnamed();
  });
}

/** Frees what no other model has a part in. Rows that a loaded model reads from storage go with a later call, when no tab has them open. */
export function deleteModel(folder: string): Promise<void> {
  return withLock(LOCK, async () => {
    await removeRecord(withoutQuery(folder));
    await removeTexts(withoutQuery(folder));
    await freeUnnamed();
  });
}

async function freeUnnamed(): Promise<void> {
  const named = new Set((await modelRecords()).flatMap(({ shards }) => shards.map(({ sha256 }) => sha256)));
  for (const store of await findStores()) {
    for (const sha256 of (await store.sizes()).keys()) if (!named.has(sha256)) await store.remove(sha256);
  }
}
