/**
 * Conversations that were put aside, so that one can go on after another without being read anew.
 *
 * The KV caches hold one conversation. Before a request overwrites what they hold, a copy of it is kept, within a budget of bytes: the least recently
 * used copies go first. A request goes on with what shares most with its prompt, be that in the caches or a copy.
 */

import type { Backend, CacheCopy } from "../backend/backend";
import { commonLength, type Held } from "./kept_tokens";

/** Bytes. Of Gemma 3 270M that is seven conversations of 2,000 tokens; a small part of what the weights of the smallest models take. */
export const CONVERSATION_MEMORY = 256 * 2 ** 20;

interface Aside {
  held: Held;
  copy: CacheCopy;
}

export class Conversations {
  private backend: Backend | undefined;
  /** The least recently used first. */
  private aside: Aside[] = [];

  /** `budget`: most bytes of all copies together. */
  constructor(private readonly budget: number) {}

  /** Lets the caches hold what shares most with `ids`. What they held is put aside, unless `ids` begin with all of it. */
  async bring(backend: Backend, ids: readonly number[]): Promise<void> {
    if (backend !== this.backend) {
      this.forget();
      this.backend = backend;
    }
    const { kept } = backend;
    const inCaches = kept.shared(ids);
    const shares = this.aside.map(({ held }) => kept.shared(ids, held));
    const most = Math.max(inCaches, ...shares);
    const found = most > inCaches ? this.aside[shares.indexOf(most)] : undefined;
    if (commonLength(kept.held.ids, ids) < kept.held.ids.length) await this.putAside(backend, found);
    if (!found) return;
    found.copy.restore();
    kept.restore(found.held);
    // Where the request goes on behind all of it, what comes of that is put aside in its place.
    if (most === found.held.ids.length) this.drop(found);
  }

  /** Frees all copies. */
  forget(): void {
    for (const each of [...this.aside]) this.drop(each);
  }

  /** `staying` is about to be used, and is not given up for this. */
  private async putAside(backend: Backend, staying: Aside | undefined): Promise<void> {
    const { held } = backend.kept;
    const bytes = backend.cacheBytes(held.furthest);
    if (bytes > this.budget - (staying?.copy.bytes ?? 0)) return;
    const others = (): Aside[] => this.aside.filter((each) => each !== staying);
    // Of a conversation one copy: what has its greater part in common with this one is an earlier turn of it.
    for (const each of others()) if (2 * commonLength(each.held.ids, held.ids) > each.held.ids.length) this.drop(each);
    while (this.bytes + bytes > this.budget) this.drop(others()[0]!);
    const copy = await backend.copyCaches(held.furthest);
    if (copy) this.aside.push({ held, copy });
  }

  private get bytes(): number {
    return this.aside.reduce((sum, { copy }) => sum + copy.bytes, 0);
  }

  private drop(each: Aside): void {
    this.aside.splice(this.aside.indexOf(each), 1);
    each.copy.free();
  }
}
