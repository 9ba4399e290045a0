/**
 * A hand-made artifact, whole as docs/artifact.md has it: its "model" recites a fixed text, and its logit of token 0 is
 * minus the sum of (slot + 1) * id over the KV cache, so that a test sees what was written there.
 */

import type { Manifest, Piece, Shard } from "../src/artifact/manifest";
import { Tokenizer } from "../src/text/tokenizer";

export const CONTEXT = 4096;
export const PREFILL = [4, 16, 64];
export const SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>"];
export const BOS = 2;
export const STOP = [1, 5];

const WORDS = ["▁t", "he", "▁the", "in", "er", "▁a", "\n\n"];
const MERGES = [["▁", "t"], ["h", "e"], ["▁t", "he"], ["i", "n"], ["e", "r"], ["▁", "a"], ["\n", "\n"]];
const CHARACTERS = [..."▁\n\tabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"*_#`~|/\\()[]{}<>=+-&%$@^"];
const BYTES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);

export const VOCABULARY = [...SPECIAL, ...BYTES, ...CHARACTERS, ...WORDS];

export const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{% set role = 'model' if message.role == 'assistant' else message.role %}" +
  "<|turn>{{ role }}\n{{ message.content | trim }}<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}";

export const TOKENIZER_FACTS = { file: "tokenizer.json", add_bos: true, bos: BOS, stop: STOP, without_text: [] as [number, number][] };

export function tokenizerFile(): object {
  return {
    version: "1.0",
    added_tokens: SPECIAL.map((content, id) => ({ id, content, special: true, normalized: false, lstrip: false, rstrip: false, single_word: false })),
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false },
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }],
    },
    model: {
      type: "BPE",
      unk_token: null,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
      merges: MERGES,
    },
  };
}

const STATE = {
  position: 0, length: 1, generated: 2, finished: 3, temperature: 4, top_k: 5, top_p: 6, min_p: 7, seed: 8, stop_count: 9,
  stop: 10, output: 26, blocks: 90, tokens: 348,
};
const STATE_WORDS = STATE.tokens + PREFILL.at(-1)!;

const KERNELS = {
  write: `
@group(0) @binding(0) var<storage, read> state : array<i32>;
@group(0) @binding(1) var<storage, read_write> cache : array<i32>;
@compute @workgroup_size(64) fn write_kernel(@builtin(global_invocation_id) id : vec3<u32>) {
  let i = i32(id.x);
  if (i < state[${STATE.length}]) { cache[state[${STATE.position}] + i] = state[${STATE.tokens} + i]; }
}`,
  logits: `
@group(0) @binding(0) var<storage, read> state : array<i32>;
@group(0) @binding(1) var<storage, read> cache : array<i32>;
@group(0) @binding(2) var<storage, read> script : array<i32>;
@group(0) @binding(3) var<storage, read_write> logits : array<f32>;
@compute @workgroup_size(64) fn logits_kernel(@builtin(local_invocation_id) id : vec3<u32>) {
  let target_token = script[min(u32(state[${STATE.generated}]), arrayLength(&script) - 1u)];
  for (var v = i32(id.x); v < ${VOCABULARY.length}; v += 64) { logits[v] = select(0.0, 10.0, v == target_token); }
  if (id.x == 0u) {
    var sum = 0;
    for (var i = 0; i < state[${STATE.position}] + state[${STATE.length}]; i++) { sum += (i + 1) * cache[i]; }
    logits[0] = -f32(sum);
  }
}`,
  sample: `
@group(0) @binding(0) var<storage, read_write> state : array<i32>;
@group(0) @binding(1) var<storage, read> logits : array<f32>;
@compute @workgroup_size(1) fn sample_kernel() {
  var best = 1;
  for (var v = 1; v < ${VOCABULARY.length}; v++) { if (logits[v] > logits[best]) { best = v; } }
  if (bitcast<f32>(state[${STATE.temperature}]) > 0.0) {
    let drawn = (bitcast<u32>(state[${STATE.seed}]) * 2654435761u + u32(state[${STATE.generated}]) * 40503u) >> 8u;
    best = ${SPECIAL.length + 256 + 3} + i32(drawn % 26u);
  }
  for (var i = 0; i < state[${STATE.stop_count}]; i++) { if (state[${STATE.stop} + i] == best) { state[${STATE.finished}] = 1; } }
  state[${STATE.output} + state[${STATE.generated}] % 64] = best;
  state[${STATE.tokens}] = best;
  state[${STATE.position}] += state[${STATE.length}];
  state[${STATE.length}] = 1;
  state[${STATE.generated}] += 1;
}`,
};

export interface Artifact {
  manifest: Manifest;
  /** Path in the model's folder to content. */
  files: Map<string, Uint8Array<ArrayBuffer> | string>;
}

/** `text` is what the model recites, then its stop token. With `chat: false` it is a base model. */
export async function makeArtifact(text: string, { chat = true, name = "recital" } = {}): Promise<Artifact> {
  const ids = new Tokenizer(tokenizerFile(), TOKENIZER_FACTS).encodePlain(text);
  const script = new Uint8Array(Int32Array.from([...ids, STOP[1]!]).buffer);
  // Two shards, cut in the middle, so that pieces and their offsets matter.
  const cut = 4 * Math.floor(script.length / 8);
  const parts = [script.slice(0, cut), script.slice(cut)];
  const shards = await Promise.all(parts.map(shardOf));
  const launch = (kernel: number, grid: number, ...buffers: number[]) => ({ kernel, grid: [grid, 1, 1] as [number, number, number], buffers });
  const [state, cache, weights, logits] = [0, 1, 2, 3];
  const tail = [launch(1, 1, state, cache, weights, logits)];
  const sample = [launch(2, 1, state, logits)];
  const manifest: Manifest = {
    schema: 1, generator: "gemlet 0.1.0", name, title: chat ? "Recital 1 (instruction)" : "Recital 1 (base)", architecture: "gemma3_text", chat,
    license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0", file: "LICENSE.txt" },
    facts: { parameters: 268_098_176, layers: 18, hidden_size: 640, vocab_size: VOCABULARY.length, sliding_window: 512, trained_context: 32768 },
    context: CONTEXT,
    quantization: { requested: "auto", formats: { f32: { tensors: 1, bytes: script.length } } },
    tokenizer: TOKENIZER_FACTS, chat_template: chat ? "chat_template.jinja" : null,
    limits: { maxStorageBufferBindingSize: 2 ** 20, maxStorageBuffersPerShaderStage: 4 },
    prefill: PREFILL,
    state: { buffer: state, fields: STATE }, adjust: null,
    buffers: [
      { name: "state", kind: "state", bytes: 4 * STATE_WORDS },
      { name: "cache", kind: "cache", bytes: 4 * CONTEXT, slots: CONTEXT, slot_bytes: 4, slot_tile: 32 },
      { name: "script", kind: "weight", bytes: script.length },
      { name: "logits", kind: "logits", bytes: 4 * VOCABULARY.length },
    ],
    tables: [],
    kernels: Object.keys(KERNELS).map((kernel) => ({
      name: kernel, file: `webgpu/${kernel}.wgsl`, entry: `${kernel}_kernel`, workgroup: [kernel === "sample" ? 1 : 64, 1, 1], shared_bytes: 0,
    })),
    steps: {
      ...Object.fromEntries(PREFILL.map((size) => [`prefill_${size}`, [launch(0, Math.ceil(size / 64), state, cache)]])),
      tail, sample,
      decode: [launch(0, 1, state, cache), ...tail, ...sample],
    },
    layers: [], known_answer: null, shards, targets: ["webgpu"], wasm: null,
    weights: [{ buffer: weights, pieces: [[0, 0, parts[0]!.length, 0], [1, 0, parts[1]!.length, cut]] }],
  };
  const files: Artifact["files"] = new Map<string, Uint8Array<ArrayBuffer> | string>([
    ["model.json", JSON.stringify(manifest)],
    ["tokenizer.json", JSON.stringify(tokenizerFile())],
    ["LICENSE.txt", "Apache License 2.0\n"],
    ...(chat ? [["chat_template.jinja", TEMPLATE] as const] : []),
    ...Object.entries(KERNELS).map(([kernel, code]) => [`webgpu/${kernel}.wgsl`, code] as const),
    ...shards.map((shard, i) => [shard.file, parts[i]!] as const),
  ]);
  return { manifest, files };
}

export interface TableArtifact extends Artifact {
  /** Rows of each buffer of the table. */
  table: Map<number, number[][]>;
  /** Bytes of the weight that is no table. */
  script: number[];
}

/**
 * The artifact with a table of 12 rows in two buffers, 20 and 8 bytes a row, cut into shards in the midst of rows: the first shard holds the
 * script's beginning alone, the second its rest and the first rows, one of the others is shorter than a row.
 */
export async function withTable({ manifest, files }: Artifact): Promise<TableArtifact> {
  const rows = 12;
  const script = manifest.shards.flatMap(({ file }) => [...(files.get(file) as Uint8Array)]);
  const columns = [20, 8].map((width, which) => Array.from({ length: rows }, (_, row) => Array.from({ length: width }, (_, i) => (100 * which + 7 * row + i) % 251)));
  const all = Uint8Array.from([...script, ...columns.flatMap((column) => column.flat())]);
  const cuts = [0, 4, script.length + 28, script.length + 40, script.length + 100, script.length + 104, script.length + 260, all.length];
  const parts = cuts.slice(1).map((end, i) => all.slice(cuts[i], end));
  const shards = await Promise.all(parts.map(shardOf));
  const pieces = (start: number, end: number): Piece[] =>
    parts.flatMap(({ length }, i): Piece[] => {
      const [from, to] = [Math.max(start, cuts[i]!), Math.min(end, cuts[i]! + length)];
      return from < to ? [[i, from - cuts[i]!, to - from, from - start]] : [];
    });
  const [data, scale, part] = [0, 1, 2].map((i) => manifest.buffers.length + i) as [number, number, number];
  const starts = [0, script.length, script.length + 20 * rows, all.length] as const;
  const changed: Manifest = {
    ...structuredClone(manifest),
    shards,
    buffers: [
      ...manifest.buffers,
      { name: "table.data", kind: "weight", bytes: 20 * rows },
      { name: "table.scale", kind: "weight", bytes: 8 * rows },
      { name: "table.part", kind: "weight", bytes: 12 },
    ],
    tables: [{ rows, buffers: [data, scale], part }],
    weights: [2, data, scale].map((buffer, i) => ({ buffer, pieces: pieces(starts[i]!, starts[i + 1]!) })),
  };
  return { manifest: changed, files: new Map(shards.map(({ file }, i) => [file, parts[i]!])), table: new Map([[data, columns[0]!], [scale, columns[1]!]]), script };
}

async function shardOf(bytes: Uint8Array<ArrayBuffer>): Promise<Shard> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { file: `weights/${sha256.slice(0, 16)}.bin`, bytes: bytes.length, sha256 };
}
