/** What the browser keeps of which model: a record for each, in a cache of its own, so that a shard that no record names can go. */

import { openCache } from "./cache_store";
import { isOf, list, number, object, text, whole } from "./check_shape";
import type { Manifest, Shard } from "./manifest";

const CACHE = "gemlet-models";
/** Nothing is ever asked of this host: entries need an address. */
const PREFIX = "https://gemlet.invalid/?folder=";

export interface ModelRecord {
  /** The artifact's absolute address with a slash at its end, without a query: what tells models apart. */
  folder: string;
  name: string;
  title: string;
  shards: Pick<Shard, "sha256" | "bytes">[];
  /** When it was last loaded, in milliseconds since 1970. */
  last_used: number;
}

const RECORD = object({ folder: text, name: text, title: text, shards: list(object({ sha256: text, bytes: whole() })), last_used: number });

/** In no order, those that can be read. */
export async function modelRecords(): Promise<ModelRecord[]> {
  const cache = await openCache(CACHE);
  const keys = (await cache?.keys().catch(() => [])) ?? [];
  const read = async (key: Request): Promise<ModelRecord[]> => {
    const record: unknown = await (await cache!.match(key))!.json();
    return isOf(RECORD, record) ? [record as ModelRecord] : [];
  };
  return (await Promise.all(keys.map((key) => read(key).catch(() => [])))).flat();
}

/** Writes the model's record anew, as used now. */
export async function recordModel(folder: string, { name, title, shards }: Manifest): Promise<void> {
  const record: ModelRecord = { folder, name, title, shards: shards.map(({ sha256, bytes }) => ({ sha256, bytes })), last_used: Date.now() };
  await (await openCache(CACHE))?.put(keyOf(folder), Response.json(record));
}

export async function removeRecord(folder: string): Promise<void> {
  await (await openCache(CACHE))?.delete(keyOf(folder));
}

function keyOf(folder: string): string {
  return PREFIX + encodeURIComponent(folder);
}
