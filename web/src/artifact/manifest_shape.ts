/**
 * The types of model.json's fields (docs/artifact.md). Where an index may lead, and whether parts fit together, check_manifest.ts asks afterwards,
 * so that indices are plain numbers here.
 */

import { anything, either, flag, hash, list, mapOf, number, object, oneOf, orMissing, orNull, type Rule, text, whole } from "./check_shape";

/** WebGPU's limit of workgroups in one direction, which no device raises. */
const MOST_WORKGROUPS = 65535;
const PIECES = list(list(whole(), 4));
const NAMED = object({ name: text, file: text, entry: text });

const TOLERANCE = mapOf(number);

/** Where each layer's result lies. */
function layersAt(place: string): Rule {
  return list(orNull(object({ step: text, launches: whole(1), row_bytes: whole(4), [place]: whole() })));
}

const WASM_PROGRAM = object({
  modules: list(object({ file: orMissing(text), bytes: orMissing(whole()), sha256: orMissing(hash), threads: flag, simd: oneOf("relaxed", "simd128"), activations: oneOf("int16", "float"), layers: layersAt("offset") })),
  memory_bytes: number,
  stacks: object({ offset: whole(), bytes: whole(), threads: whole() }),
  steps: mapOf(whole()),
  prefill: list(whole(1)),
  state: whole(),
  state_bytes: whole(),
  logits: whole(),
  adjust: orMissing(orNull(object({ adjustments: whole(), mask: whole() }))),
  caches: orMissing(list(object({ offset: whole(), bytes: whole(), slot_bytes: whole(), slot_tile: whole() }))),
  weights: list(object({ name: text, offset: whole(), bytes: whole(), pieces: PIECES })),
});

export const MANIFEST_SHAPE = object({
  license: object({ name: text, url: text, file: text }),
  facts: mapOf(either(number, (value) => typeof value === "string")),
  context: whole(1),
  quantization: object({ requested: text, formats: mapOf(object({ tensors: whole(), bytes: whole() })) }),
  tokenizer: object({ file: text, add_bos: flag, bos: orNull(whole()), stop: list(whole()), without_text: anything }),
  limits: mapOf(whole()),
  prefill: list(whole(1)),
  state: object({ buffer: number, fields: mapOf(anything) }),
  adjust: orNull(object({ adjustments: number, mask: number })),
  buffers: list(object({ name: text, kind: text, bytes: whole(), slots: orMissing(whole()), slot_bytes: orMissing(whole()), slot_tile: orMissing(whole()) })),
  tables: list(object({ rows: whole(), buffers: list(number), part: number })),
  kernels: list(NAMED),
  steps: mapOf(list(object({ kernel: number, grid: list(whole(1, MOST_WORKGROUPS), 3), buffers: list(number) }))),
  layers: layersAt("buffer"),
  known_answer: orNull(
    object({
      ids: list(whole()),
      best: list(list(number, 2)),
      stripes: list(number),
      layers: list(list(number)),
      tolerance: object({ best: TOLERANCE, stripes: TOLERANCE, layers: list(TOLERANCE) }),
    }),
  ),
  shards: list(object({ file: text, bytes: whole(), sha256: hash })),
  weights: list(object({ buffer: number, pieces: PIECES })),
  targets: list(oneOf("webgpu", "wasm")),
  wasm: orNull(either(WASM_PROGRAM, (value) => typeof value === "object" && value !== null && "unfit" in value && typeof value.unfit === "object" && value.unfit !== null)),
});
