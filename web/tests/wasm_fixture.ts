/**
 * A module made by hand, as docs/artifact.md has them, and a manifest's part that goes with it. Its `run` notes the number of each step from byte TRACE
 * on, with their count at TRACE itself; the steps from `sample` on draw one token, the number of the step. Its `alone` takes as long as it is told.
 */

import { sha256 } from "../src/artifact/hash";
import type { Manifest, WasmProgram } from "../src/artifact/manifest";

export const STEPS = { prepare: 0, prefill_64: 1, tail: 2, decode_logits: 3, sample: 4, decode: 5, sample_adjusted: 6 };
export const STACK_BYTES = 1024;
export const TRACE = 8192;
const STATE = 16384;
const LOGITS = 32768;
export const ADJUST = { adjustments: 57344, mask: 65536 };
const WEIGHTS = 49152;
/** Of four slots, a ring or a linear cache alike. */
export const CACHE = { offset: 73728, bytes: 64, slot_bytes: 16, slot_tile: 2 };
const PAGES = 2;

/** The number as LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >> 7)];
}

/** The same with a sign, of a number from 0 on. */
function signed(value: number): number[] {
  return value < 64 ? [value] : [(value & 127) | 128, ...signed(value >> 7)];
}

const vector = (items: number[][]): number[] => [...leb(items.length), ...items.flat()];
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];
const text = (value: string): number[] => [...leb(value.length), ...new TextEncoder().encode(value)];

const constant = (value: number): number[] => [0x41, ...signed(value)];
const load = (address: number): number[] => [...constant(address), 0x28, 2, 0];
const store = (address: number[], value: number[]): number[] => [...address, ...value, 0x36, 2, 0];
const add = (a: number[], b: number[]): number[] => [...a, ...b, 0x6a];
/** Byte of word `load(index)` of a list at `base`. */
const wordAt = (base: number, index: number): number[] => add(constant(base), [...load(index), 0x41, 2, 0x74]);

/** Of a module without threads. The state's fields are those of `manifest`. `loops`: of `alone`. */
export function moduleBytes({ state: { fields } }: Manifest, loops = 1): Uint8Array<ArrayBuffer> {
  const step = [0x20, 0];
  const generated = STATE + 4 * fields.generated;
  const code = [
    ...store(wordAt(TRACE + 4, TRACE), step),
    ...store(constant(TRACE), add(load(TRACE), constant(1))),
    ...step, ...constant(STEPS.sample), 0x4e, 0x04, 0x40, // if step >= sample
    ...store(wordAt(STATE + 4 * fields.output, generated), step),
    ...store(constant(generated), add(load(generated), constant(1))),
    0x0b, 0x0b,
  ];
  const alone = [...constant(loops), 0x21, 0, 0x03, 0x40, 0x20, 0, ...constant(1), 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x0b];
  const memory = [1, ...leb(PAGES), ...leb(65536)]; // at least, at most
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector([[0x60, 2, 0x7f, 0x7f, 0], [0x60, 1, 0x7f, 0]])),
    ...section(2, vector([[...text("env"), ...text("memory"), 2, ...memory]])),
    ...section(3, vector([[0], [1]])),
    ...section(6, vector([[0x7f, 1, ...constant(0), 0x0b]])),
    ...section(7, vector([[...text("run"), 0, 0], [...text("alone"), 0, 1], [...text("__stack_pointer"), 3, 0]])),
    ...section(10, vector([code, alone].map((body) => [...leb(body.length + 1), 0, ...body]))),
  ]);
}

/** Of the fixture's manifest, with its weight. */
export async function wasmProgram(manifest: Manifest): Promise<WasmProgram> {
  const bytes = moduleBytes(manifest);
  const module = { file: "wasm/simd128.wasm", bytes: bytes.length, sha256: await sha256(bytes), threads: false, simd: "simd128", activations: "int16", layers: [] as [] } as const;
  const twins = (["relaxed", "simd128"] as const).flatMap((simd) => [false, true].map((threads) => ({ ...module, file: `wasm/${simd}${threads ? "-threads" : ""}.wasm`, simd, threads })));
  const { bytes: weightBytes } = manifest.buffers[2]!;
  return {
    modules: [...twins, { ...module, file: "wasm/simd128-float.wasm", activations: "float" }],
    memory_bytes: PAGES * 65536,
    stacks: { offset: 0, bytes: STACK_BYTES, threads: 4 },
    steps: STEPS,
    prefill: [64],
    state: STATE,
    state_bytes: 4 * (manifest.state.fields.tokens + 64),
    logits: LOGITS,
    adjust: ADJUST,
    caches: [CACHE, { ...CACHE, offset: CACHE.offset + CACHE.bytes }],
    weights: [{ name: "script", offset: WEIGHTS, bytes: weightBytes, pieces: manifest.weights[0]!.pieces }],
  };
}
