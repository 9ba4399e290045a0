/** Logarithms of probabilities, from logits. */

export interface Logprob {
  token: number;
  logprob: number;
}

/**
 * That of `token`, and those of the `top` most likely tokens, the likeliest first; of equal ones the lower id. `withheld`: [first, end] of ids, in order,
 * that no draw takes, so that they are none of the likeliest.
 */
export function logprobsOf(
  logits: Float32Array,
  token: number,
  top: number,
  withheld: readonly (readonly [number, number])[] = [],
): { chosen: Logprob; top: Logprob[] } {
  let range = 0;
  const best: number[] = [];
  let peak = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    peak = Math.max(peak, logit);
    while (range < withheld.length && id >= withheld[range]![1]) range += 1;
    if (range < withheld.length && id >= withheld[range]![0]) continue;
    if (best.length === top && !(top > 0 && logit > logits[best[top - 1]!]!)) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]!]! < logit) at -= 1;
    best.splice(at, 0, id);
    best.length = Math.min(best.length, top);
  }
  const total = peak + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
  const logprob = (id: number): Logprob => ({ token: id, logprob: logits[id]! - total });
  return { chosen: logprob(token), top: best.map(logprob) };
}
