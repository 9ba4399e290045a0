/** Checks the part of model.json that tells what the model answers to a fixed prompt. Its types were checked before (manifest_shape.ts). */

import { type KnownAnswer, type LayerEnd, type Manifest, type Tolerance, vocabularySize } from "./manifest";

const FORMS: readonly (keyof Tolerance)[] = ["float", "float16", "int16", "int8"];

/** `fail` throws an error of that text. */
export function checkKnownAnswer({ ids, best, stripes, layers, tolerance }: KnownAnswer, manifest: Manifest, fail: (problem: string) => never): void {
  const vocabulary = vocabularySize(manifest);
  const needToken = (id: number, what: string): void => {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary)) fail(`known_answer.${what} is ${id}, expected 0 to ${vocabulary - 1}`);
  };
  const needTolerance = (value: Tolerance, what: string): void => {
    for (const form of FORMS) if (!(value[form] > 0)) fail(`known_answer.tolerance.${what}.${form} is ${value[form]}, expected a number above 0`);
  };
  for (const [name, each] of Object.entries({ ids, best, stripes })) if (each.length === 0) fail(`known_answer.${name} is empty`);
  if (ids.length > manifest.context) fail(`known_answer.ids: ${ids.length} ids, but the context holds ${manifest.context}`);
  for (const [i, id] of ids.entries()) needToken(id, `ids[${i}]`);
  for (const [i, [id]] of best.entries()) needToken(id, `best[${i}]`);
  for (const [i, { length }] of layers.entries()) if (length < 2) fail(`known_answer.layers[${i}] has ${length} numbers, expected 2 or more`);
  needTolerance(tolerance.best, "best");
  needTolerance(tolerance.stripes, "stripes");
  if (tolerance.layers.length !== layers.length) fail(`known_answer.tolerance.layers: expected one for each of ${layers.length} layers`);
  for (const [layer, each] of tolerance.layers.entries()) needTolerance(each, `layers[${layer}]`);
}

/** Where a backend's layers end. `isPlace`: whether step and place are there. */
export function checkLayers<End extends LayerEnd>(layers: readonly (End | null)[], what: string, isPlace: (end: End) => boolean, fail: (problem: string) => never): void {
  for (const [i, end] of layers.entries()) if (end !== null && !isPlace(end)) fail(`${what}[${i}] is ${JSON.stringify(end)}, which is no place in a step`);
}
