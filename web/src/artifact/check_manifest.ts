/** Checks model.json before anything is downloaded or created from it. */

import { GemletError } from "../errors";
import { checkKnownAnswer, checkLayers } from "./check_known_answer";
import { MANIFEST_SHAPE } from "./manifest_shape";
import { checkFiles } from "./check_files";
import { checkWasm } from "./check_wasm";
import { adjustmentBytes, type KernelSpec, type Manifest, MAX_STOP_TOKENS, SCHEMA, STATE_FIELDS, vocabularySize } from "./manifest";

/** Of a vocabulary, and words of a state: far more than any model has, and far from where numbers lose whole steps. */
const MOST_TOKENS = 2 ** 28;

type Kind = "string" | "number" | "boolean" | "array" | "object" | "string or null" | "object or null";

const KEYS: Record<Exclude<keyof Manifest, "schema">, Kind> = {
  generator: "string",
  name: "string",
  title: "string",
  architecture: "string",
  chat: "boolean",
  license: "object",
  facts: "object",
  context: "number",
  quantization: "object",
  tokenizer: "object",
  chat_template: "string or null",
  limits: "object",
  prefill: "array",
  state: "object",
  adjust: "object or null",
  buffers: "array",
  tables: "array",
  kernels: "array",
  steps: "object",
  layers: "array",
  known_answer: "object or null",
  shards: "array",
  weights: "array",
  targets: "array",
  wasm: "object or null",
};

/** What the key means where it is missing: artifacts of gemlet 0.1.0 were for WebGPU alone. */
const DEFAULTS: Partial<Manifest> = { targets: ["webgpu"], wasm: null, adjust: null };

/**
 * Returns `value` as a Manifest. `url` is for messages.
 * Throws GemletError "bad-artifact" where the schema is newer, a key is missing or of another type, or an index leads nowhere.
 */
export function checkManifest(value: unknown, url: string): Manifest {
  const fail = (problem: string): never => {
    throw new GemletError("bad-artifact", `${url}: ${problem}`);
  };
  if (kindOf(value) !== "object") fail(`expected a JSON object, found ${kindOf(value)}`);
  const object: Record<string, unknown> = { ...DEFAULTS, ...(value as object) };
  const schema = object["schema"];
  if (typeof schema !== "number") fail('the key "schema" is missing; is this a gemlet artifact?');
  if (schema !== SCHEMA) {
    const advice = (schema as number) > SCHEMA ? "update the engine (gemlet.js)" : "compile the model again";
    fail(`the artifact has schema ${schema}, this engine reads schema ${SCHEMA}; ${advice}`);
  }
  for (const [key, expected] of Object.entries(KEYS)) {
    if (!(key in object)) fail(`the key "${key}" is missing`);
    if (!expected.split(" or ").includes(kindOf(object[key]))) {
      fail(`the key "${key}" is ${kindOf(object[key])}, expected ${expected}`);
    }
  }
  MANIFEST_SHAPE(object, "model", (problem) => fail(problem.replace("model.", "")));
  const manifest = object as unknown as Manifest;
  const vocabulary: unknown = manifest.facts["vocab_size"];
  if (!(Number.isInteger(vocabulary) && (vocabulary as number) > 0 && (vocabulary as number) <= MOST_TOKENS)) {
    fail(`facts.vocab_size is ${vocabulary}, expected a number above 0`);
  }
  checkFields(manifest, fail);
  if (manifest.targets.includes("webgpu")) {
    checkIndices(manifest, fail);
    for (const kernel of manifest.kernels) checkVariants(kernel, fail);
    checkState(manifest, fail);
    checkLayers(manifest.layers, "layers", (end) => Array.isArray(manifest.steps[end.step]) && end.launches <= manifest.steps[end.step]!.length && manifest.buffers[end.buffer] !== undefined, fail);
  }
  if (manifest.known_answer !== null) checkKnownAnswer(manifest.known_answer, manifest, fail);
  if (manifest.wasm !== null) checkWasm(manifest, manifest.wasm, fail);
  checkFiles(manifest, fail);
  return manifest;
}

function checkIndices(manifest: Manifest, fail: (problem: string) => never): void {
  const { adjust, buffers, tables, kernels, steps, shards, weights } = manifest;
  const needIndex = (index: number, length: number, what: string): void => {
    if (!Number.isInteger(index) || index < 0 || index >= length) fail(`${what} is ${index}, expected 0 to ${length - 1}`);
  };
  const adjusted = adjust ? ["decode_logits", "sample_adjusted"] : [];
  for (const name of ["decode", "tail", "sample", ...adjusted, ...manifest.prefill.map((size) => `prefill_${size}`)]) {
    if (!Array.isArray(steps[name])) fail(`the step "${name}" is missing`);
  }
  if (manifest.prefill.length === 0) fail("there is no prefill step");
  for (const [name, launches] of Object.entries(steps)) {
    for (const [i, launch] of launches.entries()) {
      needIndex(launch.kernel, kernels.length, `step "${name}", launch ${i}: kernel`);
      for (const buffer of launch.buffers) needIndex(buffer, buffers.length, `step "${name}", launch ${i}: buffer`);
    }
  }
  for (const weight of weights) {
    needIndex(weight.buffer, buffers.length, "weights: buffer");
    const { name, bytes } = buffers[weight.buffer]!;
    for (const [shard, offset, length, target] of weight.pieces) {
      needIndex(shard, shards.length, `weight "${name}": shard`);
      const held = shards[shard]!.bytes;
      if (offset + length > held) fail(`weight "${name}": a piece ends at byte ${offset + length} of a shard of ${held} bytes`);
      if (target + length > bytes) fail(`weight "${name}": a piece ends at byte ${target + length} of a buffer of ${bytes} bytes`);
    }
  }
  for (const [i, table] of tables.entries()) {
    needIndex(table.part, buffers.length, `table ${i}: part`);
    for (const buffer of table.buffers) {
      needIndex(buffer, buffers.length, `table ${i}: buffer`);
      const { name, bytes } = buffers[buffer]!;
      if (!(table.rows > 0) || bytes % (4 * table.rows) !== 0) {
        fail(`table ${i}: buffer "${name}" has ${bytes} bytes, which are not ${table.rows} rows of whole words`);
      }
    }
  }
  for (const { name, slots, slot_bytes, slot_tile } of buffers) {
    const isSlotted = [slots, slot_bytes, slot_tile].some((each) => each !== undefined);
    if (isSlotted && !(slot_bytes! > 0 && slot_tile! > 0)) fail(`buffer "${name}": slots need slot_bytes and slot_tile`);
  }
  if (adjust) {
    const vocabulary = vocabularySize(manifest);
    for (const [name, needed] of [["adjustments", adjustmentBytes(vocabulary)], ["mask", 4 * Math.ceil(vocabulary / 32)]] as const) {
      needIndex(adjust[name], buffers.length, `adjust.${name}`);
      const { bytes } = buffers[adjust[name]]!;
      if (bytes < needed) fail(`adjust.${name} is a buffer of ${bytes} bytes, but ${vocabulary} tokens need ${needed}`);
    }
  }
  if (!buffers.some((buffer) => buffer.kind === "logits")) fail("there is no buffer of kind logits");
}

function checkVariants({ name: kernel, variants }: KernelSpec, fail: (problem: string) => never): void {
  if (variants === undefined) return;
  if (!Array.isArray(variants)) fail(`kernel "${kernel}": variants is ${kindOf(variants)}, expected array`);
  for (const [i, variant] of variants.entries()) {
    if (kindOf(variant) !== "object") fail(`kernel "${kernel}", variant ${i}: expected object, found ${kindOf(variant)}`);
    const { name, file, entry, workgroup, shared_bytes, grid, requires, exact } = variant;
    const where = `kernel "${kernel}", variant ${i}`;
    if (!Array.isArray(workgroup) || workgroup.length !== 3 || ![...workgroup, shared_bytes].every((each) => Number.isInteger(each) && each >= 0)) {
      fail(`${where}: expected workgroup and shared_bytes, whole numbers`);
    }
    if ([name, file, entry].some((text) => typeof text !== "string")) fail(`${where}: expected name, file and entry`);
    const extents = Array.isArray(grid) ? grid : [];
    if (extents.length !== 3 || extents.some((extent) => !Number.isInteger(extent) || extent < 1 || extent > 65535)) {
      fail(`${where}: grid is ${JSON.stringify(grid)}, expected three numbers from 1`);
    }
    if (!Array.isArray(requires) || requires.some((feature) => typeof feature !== "string")) fail(`${where}: requires is no list of names`);
    if (typeof exact !== "boolean") fail(`${where}: exact is ${kindOf(exact)}, expected boolean`);
  }
}

function checkWithoutText(ranges: unknown, vocabulary: number, fail: (problem: string) => never): void {
  const isRange = (each: unknown): each is [number, number] => Array.isArray(each) && each.length === 2 && each.every(Number.isInteger);
  if (!Array.isArray(ranges) || !ranges.every(isRange)) return fail("tokenizer.without_text: expected a list of [first, end]");
  let last = 0;
  for (const [first, end] of ranges) {
    if (first < last || end <= first || end > vocabulary) {
      fail(`tokenizer.without_text: [${first}, ${end}] must lie behind ${last} and end at ${vocabulary}, the vocabulary's size, or before`);
    }
    last = end;
  }
}

function checkFields(manifest: Manifest, fail: (problem: string) => never): void {
  const { state, tokenizer } = manifest;
  for (const field of STATE_FIELDS) {
    const place: unknown = state.fields[field];
    if (place === undefined) fail(`state.fields.${field} is missing`);
    if (!(Number.isInteger(place) && (place as number) >= 0 && (place as number) < MOST_TOKENS)) fail(`state.fields.${field} is ${JSON.stringify(place)}, expected the number of a word`);
  }
  checkWithoutText(tokenizer.without_text, vocabularySize(manifest), fail);
  const stops = tokenizer.stop.length;
  const beyond = [tokenizer.bos, ...tokenizer.stop].find((id) => id !== null && id >= vocabularySize(manifest));
  if (beyond !== undefined) fail(`tokenizer: a stop or bos has the id ${beyond}, but the vocabulary has ${vocabularySize(manifest)} tokens`);
  if (stops > MAX_STOP_TOKENS) fail(`tokenizer.stop holds ${stops} ids, at most ${MAX_STOP_TOKENS} can be used`);
}

function checkState(manifest: Manifest, fail: (problem: string) => never): void {
  const { buffer, fields } = manifest.state;
  const spec = manifest.buffers[buffer];
  if (spec?.kind !== "state") return fail(`state.buffer is ${buffer}, which is no buffer of kind state`);
  const largest = Math.max(...manifest.prefill);
  const end = 4 * (fields.tokens + largest);
  if (end > spec.bytes) fail(`the state holds ${spec.bytes} bytes, but chunks of ${largest} tokens need ${end}`);
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}
