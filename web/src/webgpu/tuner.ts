/** Finds out which variant of a kernel is the fastest here, for the kernels that matter most, within a fixed time. */

import type { Manifest, VariantSpec } from "../artifact/manifest";
import type { Choice } from "./variants";

/** All that a load spends on it unless it is told otherwise: making the pipelines of variants, and running them. */
export const BUDGET_MS = 300;
/** Kernels that are looked at; after these, little is left to win. */
export const MOST_CONTESTS = 8;
/** Each candidate runs once a round, in turns, so that a clock that speeds up or slows down favours none; its best time counts. */
const ROUNDS = 3;
/** A variant has to take less than this share of the time of what would run else: less is within what measuring errs. */
const WORTH = 0.95;

/** A kernel to find the fastest form of. */
export interface Contest {
  kernel: number;
  /** A step that launches it. */
  step: string;
  /** The first is what runs unless another wins. */
  candidates: Choice[];
}

/** One run of a candidate; resolves with milliseconds. */
export type Measure = () => Promise<number>;
export type Ready = (contest: Contest, signal: AbortSignal) => Promise<Measure[]>;

/**
 * The kernels worth it, the costliest first. A kernel costs as much as the weights that a step reads with it: first in `decode`, then in the
 * prompt's steps, largest chunk first. `current`: what runs now, by kernel.
 */
export function planContests(manifest: Manifest, usable: readonly VariantSpec[][], current: readonly Choice[]): Contest[] {
  const steps = ["decode", "tail", ...[...manifest.prefill].sort((a, b) => b - a).map((size) => `prefill_${size}`)];
  const found = new Map<number, Contest & { bytes: number }>();
  for (const step of steps) {
    const bytes = new Map<number, number>();
    for (const { kernel, buffers } of manifest.steps[step]!) {
      const weights = buffers.map((index) => manifest.buffers[index]!).filter(({ kind }) => kind === "weight");
      bytes.set(kernel, weights.reduce((sum, each) => sum + each.bytes, bytes.get(kernel) ?? 0));
    }
    for (const [kernel, sum] of bytes) {
      if (usable[kernel]!.length === 0 || found.has(kernel)) continue;
      const others = [null, ...usable[kernel]!].filter((choice) => choice !== current[kernel]);
      found.set(kernel, { kernel, step, candidates: [current[kernel]!, ...others], bytes: sum });
    }
  }
  // Of equal ones the earlier stays first.
  return [...found.values()].sort((a, b) => b.bytes - a.bytes).slice(0, MOST_CONTESTS);
}

/**
 * Holds the contests in turn. `ready` makes all candidates of one ready to run; once its signal fires nothing may be queued any more. Resolves after
 * `milliseconds` at the latest, with the winners by kernel; of a kernel that was not reached, or not once through, there is none. What `ready` or a run
 * rejects with is passed on.
 */
export async function tune(contests: readonly Contest[], ready: Ready, milliseconds = BUDGET_MS): Promise<Map<number, Choice>> {
  const winners = new Map<number, Choice>();
  const late = new AbortController();
  const { signal } = late;
  const hold = async (contest: Contest): Promise<void> => {
    const measures = await ready(contest, signal);
    const times = measures.map(() => Infinity);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, measure] of measures.entries()) {
        if (signal.aborted) return;
        times[i] = Math.min(times[i]!, await measure());
      }
      if (!signal.aborted) winners.set(contest.kernel, winner(contest.candidates, times));
    }
  };
  const all = async (): Promise<void> => {
    for (const contest of contests) if (!signal.aborted) await hold(contest);
  };
  const work = all();
  work.catch(() => undefined); // once it is late, nobody waits for it
  let timer: ReturnType<typeof setTimeout> | undefined;
  const budget = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await Promise.race([work, budget]);
    return new Map(winners);
  } finally {
    late.abort();
    clearTimeout(timer);
  }
}

function winner(candidates: readonly Choice[], times: readonly number[]): Choice {
  const best = times.indexOf(Math.min(...times));
  return times[best]! < WORTH * times[0]! ? candidates[best]! : candidates[0]!;
}
