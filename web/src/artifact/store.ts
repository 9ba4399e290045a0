/** Keeps shards in the browser, by their SHA-256: one store for all models of the site. */

import { CacheStore } from "./cache_store";
import type { Filled } from "./fetching";
import { FileStore } from "./file_store";
import type { Shard } from "./manifest";

/** "files": private files (OPFS). "cache": the Cache API, for browsers and threads without those; there a shard comes whole or not at all. */
export type StorePlace = "files" | "cache";

export interface ShardStore {
  readonly place: StorePlace;
  /** Bytes that are kept of each shard, by its SHA-256, also of those that are not whole. */
  sizes(): Promise<Map<string, number>>;
  /** What is kept as this shard, unchecked, at the front of `memory`, which is longer than it and is detached as by readInto; null: nothing. */
  read(shard: Shard, memory: ArrayBuffer): Promise<Filled | null>;
  /** Begins to keep the shard, or goes on with it. One tab at a time: see withLock. Throws what the browser does. */
  begin(shard: Shard): Promise<ShardPart>;
  /** Removes the shard, whole or not; a file that another tab has open stays. */
  remove(sha256: string): Promise<void>;
}

/** A shard on its way into the store. Until it is closed or finished or discarded, it is this tab's. */
export interface ShardPart {
  /** Bytes from the shard's front on that are there already, and the version of the file that they are from. */
  readonly bytes: number;
  readonly etag: string | null;
  /** Fills `into` with the first of those. */
  read(into: Uint8Array<ArrayBuffer>): void;
  /** Forgets them. */
  restart(etag: string | null): Promise<void>;
  /** A failure shows in `finish`: until then the shard is good without being kept. */
  append(bytes: Uint8Array<ArrayBuffer>, at: number): void;
  /** Gives the whole shard, whose bytes have been checked, its name. Throws what the browser does. */
  finish(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Leaves what is there to the next load. */
  close(): void;
  discard(): Promise<void>;
}

/** The store to load from; null where this browser, or this window of it, keeps nothing for the site. */
export async function openStore(): Promise<ShardStore | null> {
  return FileStore.open().catch(() => CacheStore.open());
}

/** All stores that there are, to look at and to remove shards from. Works in a page too. */
export async function findStores(): Promise<ShardStore[]> {
  const stores = await Promise.all([FileStore.find(), CacheStore.open()]);
  return stores.filter((store) => store !== null);
}
