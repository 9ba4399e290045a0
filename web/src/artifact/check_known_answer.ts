/** Checks the part of model.json that tells what the model answers to a fixed prompt. */

import { type KnownAnswer, type Manifest, type Tolerance, vocabularySize } from "./manifest";

const FORMS: readonly (keyof Tolerance)[] = ["float", "float16", "int16", "int8"];

/** `fail` throws an error of that text. */
export function checkKnownAnswer({ ids, best, stripes, layers, tolerance }: KnownAnswer, manifest: Manifest, fail: (problem: string) => never): void {
  const vocabulary = vocabularySize(manifest);
  const isToken = (id: unknown): boolean => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabulary;
  const needList = (value: unknown, what: string, isGood: (item: unknown) => boolean, expected: string): void => {
    if (!Array.isArray(value) || value.length === 0) fail(`known_answer.${what}: expected a list, not empty, of ${expected}`);
    const bad = (value as unknown[]).findIndex((item) => !isGood(item));
    if (bad >= 0) fail(`known_answer.${what}[${bad}] is ${JSON.stringify((value as unknown[])[bad])}, expected ${expected}`);
  };
  const needTolerance = (value: Tolerance | undefined, what: string): void => {
    for (const form of FORMS) {
      const found = value?.[form];
      if (!(Number.isFinite(found) && found! > 0)) fail(`known_answer.tolerance.${what}.${form} is ${found}, expected a number above 0`);
    }
  };
  needList(ids, "ids", isToken, `ids below ${vocabulary}`);
  if (ids.length > manifest.context) fail(`known_answer.ids: ${ids.length} ids, but the context holds ${manifest.context}`);
  needList(best, "best", (pair) => Array.isArray(pair) && pair.length === 2 && isToken(pair[0]) && Number.isFinite(pair[1]), `pairs of an id below ${vocabulary} and a number`);
  needList(stripes, "stripes", Number.isFinite, "numbers");
  needList(layers, "layers", (layer) => Array.isArray(layer) && layer.length > 1 && layer.every(Number.isFinite), "lists of numbers");
  needTolerance(tolerance?.best, "best");
  needTolerance(tolerance?.stripes, "stripes");
  if (tolerance.layers?.length !== layers.length) fail(`known_answer.tolerance.layers: expected one for each of ${layers.length} layers`);
  for (const [layer, each] of tolerance.layers.entries()) needTolerance(each, `layers[${layer}]`);
}
