/** What the engine relies on in a manifest that passed its check, asked anew and in other words. */

import type { Manifest, Piece } from "../src/artifact/manifest";

const isSize = (value: unknown, least = 0): boolean => Number.isSafeInteger(value) && (value as number) >= least;

/** The first thing that something would stumble over; undefined where there is none. */
export function problemOf(manifest: Manifest): string | undefined {
  const { adjust, buffers, context, kernels, prefill, shards, state, steps, tables, tokenizer, weights, wasm } = manifest;
  const vocabulary = manifest.facts["vocab_size"];
  const isIndex = (value: unknown, list: readonly unknown[]): boolean => isSize(value) && (value as number) < list.length;
  const isPiece = (piece: Piece, held: number): boolean => {
    const [shard, offset, length, target] = piece;
    return isIndex(shard, shards) && [offset, length, target].every((each) => isSize(each)) && offset + length <= shards[shard]!.bytes && target + length <= held;
  };
  const isGrid = (grid: unknown): boolean => Array.isArray(grid) && grid.length === 3 && grid.every((extent) => isSize(extent, 1) && extent <= 65535);
  const isToken = (id: unknown): boolean => isSize(id) && (id as number) < (vocabulary as number);
  const claims: [string, () => boolean][] = [
    ["facts.vocab_size", () => isSize(vocabulary, 1) && (vocabulary as number) < 2 ** 31],
    ["context", () => isSize(context, 1)],
    ["prefill", () => prefill.length > 0 && prefill.every((size) => isSize(size, 1))],
    ["shards", () => shards.every(({ file, bytes, sha256 }) => typeof file === "string" && isSize(bytes) && /^[0-9a-f]{64}$/.test(sha256))],
    ["buffers", () => buffers.every(({ name, kind, bytes }) => typeof name === "string" && typeof kind === "string" && isSize(bytes))],
    ["weights", () => weights.every(({ buffer, pieces }) => isIndex(buffer, buffers) && pieces.every((piece) => isPiece(piece, buffers[buffer]!.bytes)))],
    ["tables", () => tables.every(({ rows, buffers: held, part }) => isSize(rows, 1) && isIndex(part, buffers) && held.every((each) => isIndex(each, buffers)))],
    ["kernels", () => kernels.every(({ name, file, entry }) => [name, file, entry].every((each) => typeof each === "string"))],
    ["variants", () => kernels.every(({ variants = [] }) => variants.every(({ grid, requires }) => isGrid(grid) && Array.isArray(requires)))],
    ["steps", () => Object.values(steps).flat().every((launch) => isIndex(launch.kernel, kernels) && isGrid(launch.grid) && launch.buffers.every((each) => isIndex(each, buffers)))],
    ["state", () => !manifest.targets.includes("webgpu") || (isIndex(state.buffer, buffers) && Object.values(state.fields).every((each) => isSize(each)))],
    ["adjust", () => adjust === null || (isIndex(adjust.adjustments, buffers) && isIndex(adjust.mask, buffers))],
    ["tokenizer", () => tokenizer.stop.every(isToken) && (tokenizer.bos === null || isToken(tokenizer.bos)) && typeof tokenizer.file === "string"],
    ["tokenizer.without_text", () => tokenizer.without_text.every(([first, end]) => isSize(first) && isSize(end) && first < end && end <= (vocabulary as number))],
    ["texts", () => [manifest.title, manifest.name, manifest.license.name, manifest.license.url].every((each) => typeof each === "string")],
    ["wasm.weights", () => wasm === null || "unfit" in wasm || wasm.weights.every(({ offset, bytes, pieces }) => isSize(offset) && isSize(bytes) && offset + bytes <= wasm.memory_bytes && pieces.every((piece) => isPiece(piece, bytes)))],
    ["wasm.caches", () => wasm === null || "unfit" in wasm || (wasm.caches ?? []).every(({ offset, bytes }) => isSize(offset) && isSize(bytes) && offset + bytes <= wasm.memory_bytes)],
    ["wasm.stacks", () => wasm === null || "unfit" in wasm || (isSize(wasm.stacks.threads, 1) && isSize(wasm.stacks.offset) && isSize(wasm.stacks.bytes))],
    ["wasm.steps", () => wasm === null || "unfit" in wasm || Object.values(wasm.steps).every((each) => isSize(each))],
    ["wasm.state", () => wasm === null || "unfit" in wasm || [wasm.state, wasm.state_bytes, wasm.logits].every((each) => isSize(each))],
    ["wasm.prefill", () => wasm === null || "unfit" in wasm || wasm.prefill.every((each) => isSize(each, 1))],
  ];
  const ofWebGpu = ["weights", "tables", "kernels", "variants", "steps", "state", "adjust", "buffers"];
  for (const [what, holds] of claims) {
    if (ofWebGpu.includes(what) && !manifest.targets.includes("webgpu")) continue;
    try {
      if (!holds()) return what;
    } catch (error) {
      return `${what}: ${String(error)}`;
    }
  }
  return undefined;
}
