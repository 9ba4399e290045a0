/** Finds out which of some modules that do the same is the fastest on this processor: instructions that are one here are three elsewhere. */

/** Milliseconds of one measurement, long enough for a clock that ticks each tenth of one. */
const MEASUREMENT = 2;
/** Browsers compile what has run for a while anew, and better: so the best time counts that stands for so many rounds. */
const SETTLED = 10;
/** A time that is better is so by more than this. */
const BETTER = 0.9;
/** Milliseconds for all of it. */
const LONGEST = 200;

/** The number of the trial that is best: the first, unless another is clearly faster, so that near-equal times do not choose anew with each load. */
export function bestOf(times: readonly number[]): number {
  const fastest = Math.min(...times);
  return times.findIndex((time) => time * BETTER <= fastest);
}

/** Milliseconds that each of the trials takes, at best. `now`: a clock. */
export function measureTrials(trials: readonly (() => void)[], now = () => performance.now()): number[] {
  let best = trials.map(() => Infinity);
  const begun = now();
  for (let settled = 0; settled < SETTLED && now() - begun < LONGEST; settled++) {
    const found = trials.map((trial, i) => Math.min(best[i]!, measure(trial, now)));
    if (found.some((time, i) => time < BETTER * best[i]!)) settled = 0;
    best = found;
  }
  return best;
}

function measure(trial: () => void, now: () => number): number {
  const start = now();
  let runs = 0;
  let end = start;
  while (end - start < MEASUREMENT) {
    trial();
    runs += 1;
    end = now();
  }
  return (end - start) / runs;
}
