/** Finds out which of some modules that give the same bits is the fastest on this processor: instructions that are one here are three elsewhere. */

/** Milliseconds of one measurement, long enough for a clock that ticks each tenth of one. */
const MEASUREMENT = 2;
/** How often each is measured. Browsers compile what has run for a while anew, and better, so that the best time counts. */
const ROUNDS = 10;
/** Milliseconds for all of it, where a clock ticks so rarely that a measurement takes longer. */
const LONGEST = 200;

/** Milliseconds that each of the trials takes, at best. `now`: a clock. */
export function measureTrials(trials: readonly (() => void)[], now = () => performance.now()): number[] {
  const best = trials.map(() => Infinity);
  const begun = now();
  for (let round = 0; round < ROUNDS && now() - begun < LONGEST; round++) {
    for (const [i, trial] of trials.entries()) best[i] = Math.min(best[i]!, measure(trial, now));
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
