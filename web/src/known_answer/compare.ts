/** Compares what a device computed with what the manifest says is right (docs/artifact.md, "Known answer"). */

import type { KnownAnswer } from "../artifact/manifest";
import type { ActivationsRequest } from "../backend/backend";

/** A number and what it should be. `found`: null where it is no finite number. */
export interface Difference {
  what: string;
  found: number | null;
  expected: number;
  tolerance: number;
}

/** The number that is off by most of its tolerance. */
export function compareLogits(logits: Float32Array, { best, stripes, tolerance }: KnownAnswer, form: ActivationsRequest): Difference {
  const [of16, ofStripes] = [tolerance.best[form], tolerance.stripes[form]];
  const differences = best.map(([id, expected]) => difference(`the logit of token ${id}`, logits[id], expected, of16));
  const found = stripesOf(logits, stripes.length);
  differences.push(...stripes.map((expected, i) => difference(`stripe ${i} of the logits`, found[i], expected, ofStripes)));
  const known = new Set(best.map(([id]) => id));
  const last = best.at(-1)![1];
  for (const [id, logit] of logits.entries()) {
    if (!known.has(id) && !(logit <= last)) differences.push(difference(`the logit of token ${id}, which is not among the largest ${best.length},`, logit, last, of16));
  }
  return worst(differences);
}

/** The same of the last token's hidden state after a layer. */
export function compareLayer(hidden: Float32Array, layer: number, { layers, tolerance }: KnownAnswer, form: ActivationsRequest): Difference {
  const expected = layers[layer]!;
  const squares = hidden.reduce((sum, value) => sum + value * value, 0);
  const found = [...stripesOf(hidden, expected.length - 1), Math.sqrt(squares / hidden.length)];
  const name = (i: number): string => (i === expected.length - 1 ? "the root mean square" : `stripe ${i}`);
  return worst(expected.map((value, i) => difference(`${name(i)} of what layer ${layer} leaves`, found[i], value, tolerance.layers[layer]![form])));
}

/** How many of its tolerances a number is off; infinite where it is none. */
export function ratio({ found, expected, tolerance }: Difference): number {
  return found === null ? Infinity : Math.abs(found - expected) / tolerance;
}

export function isRight(difference: Difference): boolean {
  return ratio(difference) <= 1;
}

/** For people. */
export function describeDifference(each: Difference): string {
  const { what, found, expected, tolerance } = each;
  return `${what} is ${found === null ? "no number" : digits(found)}, expected ${digits(expected)} give or take ${digits(tolerance)}`;
}

export function digits(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** Signed sums of every `count`-th value, divided by the root of how many they are. */
function stripesOf(values: Float32Array, count: number): number[] {
  const sums = new Array<number>(count).fill(0);
  for (let i = 0; i < values.length; i++) sums[i % count]! += hasOddOnes(Math.floor(i / count)) ? -values[i]! : values[i]!;
  return sums.map((sum) => sum / Math.sqrt(Math.ceil(values.length / count)));
}

function hasOddOnes(number: number): boolean {
  let bits = number;
  for (const shift of [16, 8, 4, 2, 1]) bits ^= bits >>> shift;
  return (bits & 1) === 1;
}

function difference(what: string, found: number | undefined, expected: number, tolerance: number): Difference {
  return { what, found: found !== undefined && Number.isFinite(found) ? found : null, expected, tolerance };
}

function worst(differences: readonly Difference[]): Difference {
  return differences.reduce((most, each) => (ratio(each) > ratio(most) ? each : most));
}
