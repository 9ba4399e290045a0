/** Tokens of single bytes, of which answers are to be made in UTF-8: the grammar library counts bytes, but lets through some that make no character. */

const TOKEN = /^<0x([0-9A-F]{2})>$/;
/** Bytes that no UTF-8 text has, first and last. */
const NEVER = [[0xc0, 0xc1], [0xf5, 0xff]] as const;
/** What may not follow a byte: else there were two ways to write a character, or half of a pair of UTF-16's, or more than Unicode has. */
const NOT_AFTER: Record<number, readonly [number, number]> = { 0xe0: [0x80, 0x9f], 0xed: [0xa0, 0xbf], 0xf0: [0x80, 0x8f], 0xf4: [0x90, 0xbf] };

export class ByteTokens {
  private readonly idOf = new Map<number, number>();
  private readonly byteOf = new Map<number, number>();

  /** `count`: of logits; the bits of a mask behind them mean nothing. */
  constructor(texts: readonly string[], private readonly count: number) {
    for (const [id, text] of texts.entries()) {
      const byte = TOKEN.exec(text);
      if (!byte) continue;
      this.idOf.set(parseInt(byte[1]!, 16), id);
      this.byteOf.set(id, parseInt(byte[1]!, 16));
    }
  }

  /** Clears in a mask what makes no UTF-8 behind the token `last`, and what is no token. */
  correct(mask: Int32Array, last: number | undefined): void {
    const after = last === undefined ? undefined : NOT_AFTER[this.byteOf.get(last) ?? -1];
    for (const [first, end] of after ? [...NEVER, after] : NEVER) {
      for (let byte = first; byte <= end; byte++) this.clear(mask, this.idOf.get(byte));
    }
    for (let id = this.count; id < 32 * mask.length; id++) this.clear(mask, id);
  }

  private clear(mask: Int32Array, id: number | undefined): void {
    if (id !== undefined) mask[id >> 5]! &= ~(1 << (id & 31));
  }
}
