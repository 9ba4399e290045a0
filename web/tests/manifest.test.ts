import { describe, expect, test } from "vitest";
import { checkManifest } from "../src/artifact/check_manifest";
import type { Manifest, VariantSpec, WasmModule, WasmProgram } from "../src/artifact/manifest";
import { makeArtifact } from "./fixture";
import { wasmProgram } from "./wasm_fixture";

const { manifest } = await makeArtifact("abc");
const WASM = await wasmProgram(manifest);
const URL = "models/recital/model.json";

/** The fixture's manifest with one change. */
function changed(change: (manifest: Manifest) => void): unknown {
  const copy = structuredClone(manifest);
  change(copy);
  return copy;
}

const VARIANT: VariantSpec = { name: "wide", file: "webgpu/wide.wgsl", entry: "wide", workgroup: [64, 1, 1], shared_bytes: 0, grid: [1, 1, 1], requires: [], exact: true };

/** The manifest with the steps that adjust logits. */
function withSteps(each: Manifest): Manifest {
  return Object.assign(each, { steps: { ...each.steps, decode_logits: [], sample_adjusted: [] } });
}

describe("checkManifest", () => {
  test("accepts variants", () => {
    const value = changed((each) => (each.kernels[0]!.variants = [VARIANT, { ...VARIANT, requires: ["subgroups"], exact: false }]));
    expect(checkManifest(value, URL)).toEqual(value);
  });

  test("accepts a manifest as docs/artifact.md has it", () => {
    expect(checkManifest(structuredClone(manifest), URL)).toEqual(manifest);
  });

  test("refuses a newer schema with both numbers", () => {
    expect(() => checkManifest(changed((each) => (each.schema = 2)), URL)).toThrow(/schema 2.*reads schema 1.*update the engine/);
  });

  test.each(Object.keys(manifest).filter((key) => !["schema", "adjust", "targets", "wasm"].includes(key)))("names the key %s where it is missing", (key) => {
    const { [key as keyof Manifest]: _, ...rest } = manifest;
    expect(() => checkManifest(rest, URL)).toThrow(`${URL}: the key "${key}" is missing`);
  });

  test("takes an artifact that was made before there was WebAssembly as one for WebGPU", () => {
    const { targets: _, wasm: __, adjust: ___, ...rest } = manifest;
    expect(checkManifest(rest, URL)).toEqual(manifest);
  });

  test("names a key of another type, with both types", () => {
    expect(() => checkManifest({ ...manifest, prefill: "16" }, URL)).toThrow('"prefill" is string, expected array');
  });

  test("refuses what is no object", () => {
    expect(() => checkManifest([manifest], URL)).toThrow("expected a JSON object, found array");
  });

  test.each<[string, (manifest: Manifest) => void, RegExp]>([
    ["a launch of no kernel", (each) => (each.steps["decode"]![0]!.kernel = 9), /step "decode", launch 0: kernel is 9, expected 0 to 2/],
    ["a launch on no buffer", (each) => (each.steps["tail"]![0]!.buffers[2] = -1), /step "tail", launch 0: buffer is -1/],
    ["a missing step", (each) => delete each.steps["prefill_16"], /step "prefill_16" is missing/],
    ["a piece of no shard", (each) => (each.weights[0]!.pieces[0]![0] = 2), /weight "script": shard is 2/],
    ["a piece past its shard", (each) => (each.weights[0]!.pieces[0]![1] = 4), /weight "script": a piece ends at byte \d+ of a shard/],
    ["a piece past its buffer", (each) => (each.weights[0]!.pieces[1]![3] = 400), /weight "script": a piece ends at byte \d+ of a buffer/],
    ["a state that is too small", (each) => (each.buffers[0]!.bytes = 100), /state holds 100 bytes, but chunks of 64 tokens need/],
    ["a variant without its workgroup memory", (each) => (each.kernels[0]!.variants = [{ ...VARIANT, shared_bytes: undefined as never }]), /variant 0: expected workgroup and shared_bytes/],
    ["ids without text that are no ranges", (each) => (each.tokenizer.without_text = [3 as never]), /without_text: expected a list of \[first, end\]/],
    ["ids without text out of order", (each) => (each.tokenizer.without_text = [[5, 7], [6, 8]]), /without_text: \[6, 8\] must lie behind 7/],
    ["ids without text behind the vocabulary", (each) => (each.tokenizer.without_text = [[5, 2 ** 20]]), /without_text: \[5, 1048576\].*the vocabulary's size/],
    ["more stop tokens than the state holds", (each) => (each.tokenizer.stop = new Array(17).fill(1)), /holds 17 ids, at most 16/],
    ["a state field that is missing", (each) => delete (each.state.fields as Partial<Manifest["state"]["fields"]>).seed, /state.fields.seed/],
    ["a table in no buffer", (each) => (each.tables = [{ rows: 2, buffers: [0, 9], part: 0 }]), /table 0: buffer is 9, expected 0 to 3/],
    ["a table whose part is no buffer", (each) => (each.tables = [{ rows: 2, buffers: [0], part: 9 }]), /table 0: part is 9/],
    ["a table of broken rows", (each) => (each.tables = [{ rows: 7, buffers: [1], part: 0 }]), /table 0: buffer "cache" has 16384 bytes, which are not 7 rows/],
    ["a table of no rows", (each) => (each.tables = [{ rows: 0, buffers: [1], part: 0 }]), /table 0: .* not 0 rows/],
    ["variants that are no list", (each) => (each.kernels[0]!.variants = {} as never), /kernel "write": variants is object/],
    ["a variant without a file", (each) => (each.kernels[0]!.variants = [{ ...VARIANT, file: undefined as never }]), /variant 0: expected name, file and entry/],
    ["a variant without a grid", (each) => (each.kernels[0]!.variants = [VARIANT, { ...VARIANT, grid: [1, 0, 1] }]), /variant 1: grid is \[1,0,1\]/],
    ["a variant with a wrong feature", (each) => (each.kernels[0]!.variants = [{ ...VARIANT, requires: [1 as never] }]), /requires is no list of names/],
    ["a variant that does not say whether it rounds", (each) => (each.kernels[0]!.variants = [{ ...VARIANT, exact: undefined as never }]), /exact is undefined/],
    ["no size of the vocabulary", (each) => delete each.facts["vocab_size"], /facts.vocab_size is undefined/],
    ["adjusted logits without their steps", (each) => (each.adjust = { adjustments: 1, mask: 1 }), /step "decode_logits" is missing/],
    ["adjustments in no buffer", (each) => (withSteps(each).adjust = { adjustments: 9, mask: 1 }), /adjust.adjustments is 9, expected 0 to 3/],
    ["a mask that is too small", (each) => ((withSteps(each).adjust = { adjustments: 1, mask: 3 }), (each.buffers[3]!.bytes = 4)), /adjust.mask is a buffer of 4 bytes/],
    ["a cache with slots of no size", (each) => delete each.buffers[1]!.slot_bytes, /buffer "cache": slots need slot_bytes/],
  ])("refuses %s", (_, change, message) => {
    expect(() => checkManifest(changed(change), URL)).toThrow(message);
  });
});

describe("checkManifest, of WebAssembly", () => {
  /** The fixture's manifest for WebAssembly alone, with one change. */
  const wasmOnly = (change: (wasm: WasmProgram) => void = () => undefined): unknown =>
    changed((each) => {
      Object.assign(each, { targets: ["wasm"], kernels: [], steps: {}, buffers: [], tables: [], weights: [], limits: {} });
      each.state.buffer = -1;
      each.wasm = structuredClone(WASM);
      change(each.wasm);
    });

  test("accepts it without WebGPU, and what is too large for it", () => {
    expect(checkManifest(wasmOnly(), URL)).toEqual(wasmOnly());
    const unfit = { unfit: { memory_bytes: 2 ** 33, limit_bytes: 2 ** 32, context_that_fits: 0 } };
    expect(checkManifest(changed((each) => (each.wasm = unfit)), URL).wasm).toEqual(unfit);
  });

  test.each<[string, (wasm: WasmProgram) => void, RegExp]>([
    ["half a page of memory", (wasm) => (wasm.memory_bytes = 32768), /wasm.memory_bytes is 32768, expected a multiple of 65536/],
    ["more memory than there can be", (wasm) => (wasm.memory_bytes = 2 ** 33), /wasm.memory_bytes is 8589934592/],
    ["no module", (wasm) => (wasm.modules = []), /wasm.modules is empty/],
    ["a module without a hash", (wasm) => delete (wasm.modules[0] as Partial<WasmModule>).sha256, /wasm.modules\[0\]: expected file and sha256/],
    ["a missing step", (wasm) => delete wasm.steps["prepare"], /wasm.steps: the step "prepare" is missing/],
    ["a missing chunk", (wasm) => (wasm.prefill = [32]), /wasm.steps: the step "prefill_32" is missing/],
    ["stacks outside of memory", (wasm) => (wasm.stacks.bytes = 65536), /the stacks, 262144 bytes from 0 on, reach outside of the memory/],
    ["a cache outside of memory", (wasm) => (wasm.caches![1]!.offset = 131072), /cache 1, 64 bytes from 131072 on/],
    ["a cache with slots of no size", (wasm) => (wasm.caches![0]!.slot_bytes = 0), /wasm.caches\[0\]: expected slot_bytes and slot_tile/],
    ["logits outside of memory", (wasm) => (wasm.logits = 131068), /the logits, \d+ bytes from 131068 on/],
    ["a state that is too small", (wasm) => (wasm.state_bytes = 100), /the state holds 100 bytes, but chunks of 64 tokens need/],
    ["adjusted logits without their steps", (wasm) => delete wasm.steps["decode_logits"], /wasm.steps: the step "decode_logits" is missing/],
    ["a mask outside of memory", (wasm) => (wasm.adjust!.mask = 131068), /the mask, \d+ bytes from 131068 on/],
    ["a weight outside of memory", (wasm) => (wasm.weights[0]!.offset = 2 ** 20), /weight "script", \d+ bytes from 1048576 on/],
    ["a piece of no shard", (wasm) => (wasm.weights[0]!.pieces[0]![0] = 7), /weight "script": shard is 7, expected 0 to 1/],
    ["a piece past its shard", (wasm) => (wasm.weights[0]!.pieces[0]![1] = 4), /weight "script": a piece ends at byte \d+ of a shard/],
    ["a piece past its weight", (wasm) => (wasm.weights[0]!.pieces[1]![3] = 400), /weight "script": a piece ends at byte 4\d\d of \d+/],
  ])("refuses %s", (_, change, message) => {
    expect(() => checkManifest(wasmOnly(change), URL)).toThrow(message);
  });
});
