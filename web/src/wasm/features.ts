/** What this browser's WebAssembly can do, asked by tiny modules that need it, and whether the page may share memory between threads. */

/** (func (result v128) (i8x16.popcnt (i8x16.splat (i32.const 0)))) */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** The same of i32x4.relaxed_dot_i8x16_i7x16_add_s, with three of these operands. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 147, 2, 11,
];

/** (memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0)))) */
const ATOMICS = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11];

export interface WasmFeatures {
  simd: boolean;
  relaxed: boolean;
  /** Why there can be no second thread; null: there can be. */
  threadless: string | null;
  /** Threads that the processor runs at once. */
  processors: number;
}

export function findFeatures(): WasmFeatures {
  return { simd: isValid(SIMD), relaxed: isValid(RELAXED), threadless: threadless(), processors: navigator.hardwareConcurrency || 1 };
}

function isValid(module: readonly number[]): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(Uint8Array.from(module));
}

function threadless(): string | null {
  if ("document" in globalThis) return "the page's own thread, which computes, may not wait for others";
  if ("SharedWorkerGlobalScope" in globalThis) return "a worker that tabs share starts no threads";
  if (!globalThis.crossOriginIsolated) {
    return "the page is not cross-origin isolated: its host would have to send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  }
  return isValid(ATOMICS) ? null : "this browser's WebAssembly has no threads";
}
