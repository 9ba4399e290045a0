/** How much of a KV cache a number of tokens takes. */

/** A ring or a linear cache. Older artifacts do not tell how large a slot is. */
export interface SlottedCache {
  slot_bytes?: number;
  slot_tile?: number;
}

/** Of a cache of `bytes` bytes, those at its front that hold what was written of `tokens` tokens; all where a ring has wrapped, or slots are not known. */
export function usedBytes({ slot_bytes, slot_tile }: SlottedCache, bytes: number, tokens: number): number {
  if (slot_bytes === undefined) return bytes;
  return Math.min(bytes, Math.ceil(tokens / slot_tile!) * slot_tile! * slot_bytes);
}
