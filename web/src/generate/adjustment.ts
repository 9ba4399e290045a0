/** What is changed of the logits before a draw: penalties on tokens that are there already, and biases (docs/artifact.md, "Adjustments"). */

import { ADJUSTMENT_WORDS, ADJUSTMENTS_HEAD } from "../artifact/manifest";
import type { Adjustment } from "../backend/backend";

export interface Penalties {
  /** Taken off the logit of each token of the answer once. */
  presence: number;
  /** Taken off for each time that the token is in the answer. */
  frequency: number;
  /** Divides logits above 0, and multiplies others, of the tokens of prompt and answer; 1: off. */
  repetition: number;
  /** Added to logits, by token id. */
  bias: ReadonlyMap<number, number>;
}

/**
 * The adjustment of the next draw. `context`: the tokens that it follows, of which the last `answered` are the answer's; so what is no longer in the context
 * counts no more. `mask`: as in `Adjustment`.
 */
export function adjustmentOf(penalties: Penalties, context: readonly number[], answered: number, mask: Adjustment["mask"]): Adjustment {
  const { presence, frequency, repetition, bias } = penalties;
  const terms = new Map(bias);
  const factored = new Set(repetition === 1 ? [] : context);
  if (presence !== 0 || frequency !== 0) {
    const counts = new Map<number, number>();
    for (const token of answered === 0 ? [] : context.slice(-answered)) counts.set(token, (counts.get(token) ?? 0) + 1);
    for (const [token, count] of counts) terms.set(token, (terms.get(token) ?? 0) - presence - count * frequency);
  }
  const listed = [...new Set([...factored, ...terms.keys()])];
  const words = new Int32Array(ADJUSTMENTS_HEAD + ADJUSTMENT_WORDS * listed.length);
  const floats = new Float32Array(words.buffer);
  words.set([listed.length, mask ? 1 : 0]);
  for (const [i, token] of listed.entries()) {
    const at = ADJUSTMENTS_HEAD + ADJUSTMENT_WORDS * i;
    words[at] = token;
    floats.set([factored.has(token) ? repetition : 1, terms.get(token) ?? 0], at + 1);
  }
  return { words, mask };
}
