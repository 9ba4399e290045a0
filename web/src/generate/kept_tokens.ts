/** What the KV caches of a backend hold, so that a prompt that begins as the last one did need not be read from its start. */

import type { Manifest } from "../artifact/manifest";

export interface Held {
  /** Tokens whose keys and values were written, in order; those that nobody saw, behind a stop, are not among them. */
  readonly ids: readonly number[];
  /** Tokens that have been written, at most, since the caches were last begun anew: what rings have lost follows from it. */
  readonly furthest: number;
}

export class KeptTokens {
  private now: Held = { ids: [], furthest: 0 };
  private readonly window: number;
  private readonly largestChunk: number;

  constructor({ facts, prefill }: Manifest) {
    this.window = facts["sliding_window"] as number;
    this.largestChunk = prefill.at(-1)!;
  }

  get held(): Held {
    return this.now;
  }

  /**
   * How many tokens at the beginning of `ids` are held, so that computing can go on behind them: never all, since the last one gives the logits, and
   * none where a ring has lost what the next token's window needs. A ring holds the window and a chunk (compiler/schedule/kv_plan.py).
   */
  shared(ids: readonly number[], held = this.now): number {
    const count = Math.max(0, Math.min(commonLength(held.ids, ids), ids.length - 1));
    const ring = this.window + this.largestChunk - 1;
    return held.furthest <= ring || held.furthest - count <= this.largestChunk ? count : 0;
  }

  /** Nothing is known to be there any more, until `hold`. Caches are written from token `from` on. */
  begin(from: number): void {
    this.now = { ids: [], furthest: from === 0 ? 0 : this.now.furthest };
  }

  /** `ids` are held now, of `written` tokens, the surplus of steps behind a stop among them. */
  hold(ids: readonly number[], written: number): void {
    this.now = { ids, furthest: Math.max(this.now.furthest, written) };
  }

  /** The caches were filled with what they held earlier. */
  restore(held: Held): void {
    this.now = held;
  }
}

/** How many items two lists have in common at their beginning. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && a[count] === b[count]) count += 1;
  return count;
}
