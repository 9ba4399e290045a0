import { describe, expect, test } from "vitest";
import { checkManifest } from "../src/artifact/check_manifest";
import type { Manifest, VariantSpec } from "../src/artifact/manifest";
import { makeArtifact } from "./fixture";

const { manifest } = await makeArtifact("abc");
const URL = "models/recital/model.json";

/** The fixture's manifest with one change. */
function changed(change: (manifest: Manifest) => void): unknown {
  const copy = structuredClone(manifest);
  change(copy);
  return copy;
}

const VARIANT: VariantSpec = { name: "wide", file: "webgpu/wide.wgsl", entry: "wide", workgroup: [64, 1, 1], grid: [1, 1, 1], requires: [], exact: true };

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

  test.each(Object.keys(manifest).filter((key) => key !== "schema"))("names the key %s where it is missing", (key) => {
    const { [key as keyof Manifest]: _, ...rest } = manifest;
    expect(() => checkManifest(rest, URL)).toThrow(`${URL}: the key "${key}" is missing`);
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
    ["a cache with slots of no size", (each) => delete each.buffers[1]!.slot_bytes, /buffer "cache": slots need slot_bytes/],
  ])("refuses %s", (_, change, message) => {
    expect(() => checkManifest(changed(change), URL)).toThrow(message);
  });
});
