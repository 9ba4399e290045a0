/** Computes the known answer now, whatever is remembered, and says what came out in words that can be sent to others. */

import { sha256 } from "../artifact/hash";
import type { KnownAnswer, Manifest } from "../artifact/manifest";
import type { Backend } from "../backend/backend";
import { checkKnownAnswer, type KnownAnswerCheck } from "./check";
import { compareLayer, describeDifference, type Difference, isRight, ratio } from "./compare";

export interface SelfTestOptions {
  /** Whether to look at what each layer leaves, too. Default false. */
  layers?: boolean;
}

export interface LayerOutcome {
  layer: number;
  /** The number that is off by most of its tolerance; null where the layer's result cannot be seen. */
  worst: Difference | null;
  right: boolean;
}

export interface SelfTestReport {
  right: boolean;
  /** All of it for people, such as who reads an issue. It holds nothing of any conversation. */
  text: string;
  check: KnownAnswerCheck;
  /** Null where it was not asked for. */
  layers: LayerOutcome[] | null;
  /** Null where no layer is wrong, or none was looked at. */
  first_wrong_layer: number | null;
}

/** What the caches hold is lost. Throws what the backend throws. */
export async function selfTest(backend: Backend, manifest: Manifest, answer: KnownAnswer, { layers: wanted = false }: SelfTestOptions): Promise<SelfTestReport> {
  const check = await checkKnownAnswer(backend, manifest, answer);
  const layers = wanted ? await layersOf(backend, answer) : null;
  const first_wrong_layer = layers?.find(({ right }) => !right)?.layer ?? null;
  const right = check.right && first_wrong_layer === null;
  const text = [
    right ? "The model's known answer came out." : "The model's known answer did not come out.",
    "",
    ...headOf(manifest, await sha256(new TextEncoder().encode(JSON.stringify(manifest))), backend, check),
    "",
    ...check.ways.map(({ name, worst }) => `${name}: ${verdict(worst)}`),
    ...(layers === null ? [] : ["", ...layersText(layers, first_wrong_layer)]),
  ].join("\n");
  return { right, text, check, layers, first_wrong_layer };
}

async function layersOf(backend: Backend, answer: KnownAnswer): Promise<LayerOutcome[]> {
  const found = await backend.layers(answer.ids);
  backend.kept.begin(0);
  return found.map((hidden, layer) => {
    const worst = hidden && compareLayer(hidden, layer, answer, backend.activations);
    return { layer, worst, right: worst === null || isRight(worst) };
  });
}

function headOf({ name, generator, schema, quantization }: Manifest, hash: string, { info }: Backend, check: KnownAnswerCheck): string[] {
  const formats = Object.keys(quantization.formats).sort().join(", ");
  const counts = Object.entries(info.kernels?.counts ?? {}).map(([kind, count]) => `${count} ${kind}`);
  const variants = Object.entries(check.variants).map(([kernel, variant]) => `  ${kernel}: ${variant}`);
  return [
    `model: ${name} (${formats}), compiled by ${generator}, schema ${schema}`,
    `manifest: SHA-256 ${hash}`,
    `backend: ${check.backend}, ${check.adapter}, ${check.activations} activations`,
    `why: ${info.reason}`,
    `browser: ${check.browser}`,
    ...(check.module === null ? [] : [`module: ${check.module}, ${info.threads} threads`]),
    ...(counts.length === 0 ? [] : [`kernels: ${counts.join(", ")}`]),
    ...(variants.length === 0 ? [] : ["variants of kernels:", ...variants]),
  ];
}

function layersText(layers: readonly LayerOutcome[], firstWrong: number | null): string[] {
  if (layers.length === 0) return ["layers: the artifact does not say where they are"];
  const unseen = layers.filter(({ worst }) => worst === null).map(({ layer }) => layer);
  const summary = firstWrong === null ? `all ${layers.length - unseen.length} layers that can be seen are right` : `layer ${firstWrong} is the first that is wrong`;
  const shown = layers.filter(({ worst }) => worst !== null).map(({ layer, worst }) => `  ${layer}: ${verdict(worst!)}`);
  return [`layers: ${summary}${unseen.length > 0 ? `; not seen: ${unseen.join(", ")}` : ""}`, ...shown];
}

function verdict(worst: Difference): string {
  const percent = `${Math.ceil(100 * ratio(worst))} % of the tolerance`;
  return isRight(worst) ? `right, off by ${percent} at most` : `WRONG: ${describeDifference(worst)}`;
}
