/** Checks the part of model.json that tells of WebAssembly. */

import { checkLayers } from "./check_known_answer";
import { adjustmentBytes, type Manifest, type Unfit, type WasmProgram } from "./manifest";

export const PAGE_BYTES = 65536;
/** WebAssembly's addresses have 32 bits. */
export const MOST_BYTES = 2 ** 32;

/** `fail` throws an error of that text. */
export function checkWasm(manifest: Manifest, wasm: WasmProgram | Unfit, fail: (problem: string) => never): void {
  if ("unfit" in wasm) {
    for (const key of ["memory_bytes", "limit_bytes", "context_that_fits"] as const) {
      if (!Number.isInteger(wasm.unfit[key])) fail(`wasm.unfit.${key} is ${wasm.unfit[key]}, expected a whole number`);
    }
    return;
  }
  const { adjust, caches = [], modules, memory_bytes: memory, stacks, steps, prefill, weights } = wasm;
  const vocabulary = manifest.facts["vocab_size"] as number;
  if (!(memory > 0 && memory <= MOST_BYTES && memory % PAGE_BYTES === 0)) {
    fail(`wasm.memory_bytes is ${memory}, expected a multiple of ${PAGE_BYTES} up to ${MOST_BYTES}`);
  }
  if (!Array.isArray(modules) || modules.length === 0) fail("wasm.modules is empty");
  for (const [i, { file, sha256, layers }] of modules.entries()) {
    checkLayers(layers, `wasm.modules[${i}].layers`, (end) => Number.isInteger(steps?.[end.step]) && end.offset >= 0 && end.offset < memory, fail);
    if (typeof file !== "string" || typeof sha256 !== "string") fail(`wasm.modules[${i}]: expected file and sha256`);
  }
  if (!Array.isArray(prefill) || prefill.length === 0) fail("wasm.prefill is empty");
  const adjusted = adjust ? ["decode_logits", "sample_adjusted"] : [];
  for (const name of ["prepare", "decode", "tail", "sample", ...adjusted, ...prefill.map((size) => `prefill_${size}`)]) {
    if (!Number.isInteger(steps?.[name])) fail(`wasm.steps: the step "${name}" is missing`);
  }
  const inMemory = (what: string, offset: number, bytes: number): void => {
    if (!(offset >= 0 && bytes >= 0 && offset + bytes <= memory)) fail(`wasm: ${what}, ${bytes} bytes from ${offset} on, reach outside of the memory of ${memory} bytes`);
  };
  if (!(stacks?.threads >= 1)) fail("wasm.stacks.threads is no number from 1 on");
  inMemory("the stacks", stacks.offset, stacks.threads * stacks.bytes);
  inMemory("the state", wasm.state, wasm.state_bytes);
  inMemory("the logits", wasm.logits, 4 * vocabulary);
  if (adjust) {
    inMemory("the adjustments", adjust.adjustments, adjustmentBytes(vocabulary));
    inMemory("the mask", adjust.mask, 4 * Math.ceil(vocabulary / 32));
  }
  for (const [i, { offset, bytes, slot_bytes, slot_tile }] of caches.entries()) {
    inMemory(`cache ${i}`, offset, bytes);
    if (!(slot_bytes > 0 && slot_tile > 0)) fail(`wasm.caches[${i}]: expected slot_bytes and slot_tile`);
  }
  const needed = 4 * (manifest.state.fields.tokens + Math.max(...prefill));
  if (needed > wasm.state_bytes) fail(`wasm: the state holds ${wasm.state_bytes} bytes, but chunks of ${Math.max(...prefill)} tokens need ${needed}`);
  for (const { name, offset, bytes, pieces } of weights) {
    inMemory(`weight "${name}"`, offset, bytes);
    for (const [shard, start, length, target] of pieces) {
      const held = manifest.shards[shard]?.bytes;
      if (held === undefined) fail(`wasm: weight "${name}": shard is ${shard}, expected 0 to ${manifest.shards.length - 1}`);
      if (start + length > held) fail(`wasm: weight "${name}": a piece ends at byte ${start + length} of a shard of ${held} bytes`);
      if (target + length > bytes) fail(`wasm: weight "${name}": a piece ends at byte ${target + length} of ${bytes}`);
    }
  }
}
