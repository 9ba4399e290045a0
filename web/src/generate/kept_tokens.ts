/** What the KV caches of a backend hold, so that a prompt that begins as the last one did need not be read from its start. */

import type { Manifest } from "../artifact/manifest";

export class KeptTokens {
  /** Tokens whose keys and values were written, in order; those that nobody saw, behind a stop, are not among them. */
  private ids: readonly number[] = [];
  /** Tokens that have been written, at most, since the caches were last begun anew: what rings have lost follows from it. */
  private furthest = 0;
  private readonly window: number;
  private readonly largestChunk: number;

  constructor({ facts, prefill }: Manifest) {
    this.window = facts["sliding_window"] as number;
    this.largestChunk = prefill.at(-1)!;
  }

  /**
   * How many tokens at the beginning of `ids` are held, so that computing can go on behind them: never all, since the last one gives the logits, and
   * none where a ring has lost what the next token's window needs. A ring holds the window and a chunk (compiler/schedule/kv_plan.py).
   */
  shared(ids: readonly number[]): number {
    const most = Math.min(this.ids.length, ids.length - 1);
    let count = 0;
    while (count < most && this.ids[count] === ids[count]) count += 1;
    const ring = this.window + this.largestChunk - 1;
    return this.furthest <= ring || this.furthest - count <= this.largestChunk ? count : 0;
  }

  /** Nothing is known to be there any more, until `hold`. Caches are written from token `from` on. */
  begin(from: number): void {
    this.ids = [];
    if (from === 0) this.furthest = 0;
  }

  /** `ids` are held now, of `written` tokens, the surplus of steps behind a stop among them. */
  hold(ids: readonly number[], written: number): void {
    this.ids = ids;
    this.furthest = Math.max(this.furthest, written);
  }
}
