/** Keeps what KV caches hold outside of linear memory. */

import type { WasmCache } from "../artifact/manifest";
import type { CacheCopy } from "../backend/backend";
import { usedBytes } from "../backend/used_bytes";

/** A copy of what was written of `tokens` tokens. Null where the browser has no memory for it. */
export function copyCaches({ buffer }: WebAssembly.Memory, caches: readonly WasmCache[], tokens: number): CacheCopy | null {
  const parts = caches.map((cache) => new Uint8Array(buffer, cache.offset, usedBytes(cache, cache.bytes, tokens)));
  let copies: Uint8Array[];
  try {
    copies = parts.map((part) => part.slice());
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    return null;
  }
  return {
    bytes: parts.reduce((sum, { length }) => sum + length, 0),
    restore: () => parts.forEach((part, i) => part.set(copies[i]!)),
    free: () => void (copies = []),
  };
}
