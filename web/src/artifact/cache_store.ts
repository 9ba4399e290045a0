/** Shards in the browser's Cache API. */

import { type Filled, readInto } from "./fetching";
import type { Shard } from "./manifest";
import type { ShardPart, ShardStore } from "./store";

const CACHE = "gemlet-shards";
/** Nothing is ever asked of this host: entries need an address, and a shard has none of its own. */
const PREFIX = "https://gemlet.invalid/";

export class CacheStore implements ShardStore {
  readonly place = "cache";

  private constructor(private readonly cache: Cache) {}

  /** Null where the browser offers none. */
  static async open(): Promise<CacheStore | null> {
    return openCache(CACHE).then((cache) => cache && new CacheStore(cache));
  }

  async sizes(): Promise<Map<string, number>> {
    const names = (await this.cache.keys()).map(({ url }) => url.slice(PREFIX.length));
    const size = async (name: string): Promise<number> => Number((await this.cache.match(PREFIX + name))?.headers.get("Content-Length"));
    return new Map(await Promise.all(names.map(async (name) => [name, await size(name)] as const)));
  }

  async read(shard: Shard, memory: ArrayBuffer): Promise<Filled | null> {
    const response = await this.cache.match(PREFIX + shard.sha256);
    if (!response) return null;
    const size = memory.byteLength;
    // An entry that does not read is as good as an empty one.
    return readInto(memory, 0, response, shard.bytes, () => undefined).catch(() => ({ memory: new ArrayBuffer(size), length: 0 }));
  }

  async begin({ sha256, bytes: size }: Shard): Promise<ShardPart> {
    return {
      bytes: 0,
      etag: null,
      read: () => undefined,
      restart: async () => undefined,
      append: () => undefined,
      finish: (bytes) => this.cache.put(PREFIX + sha256, new Response(bytes, { headers: { "Content-Length": `${size}` } })),
      close: () => undefined,
      discard: async () => undefined,
    };
  }

  async remove(sha256: string): Promise<void> {
    await this.cache.delete(PREFIX + sha256);
  }
}

/** The cache of that name; null where the browser, or this window of it, offers none. */
export async function openCache(name: string): Promise<Cache | null> {
  try {
    return await caches.open(name);
  } catch {
    return null;
  }
}
