/** Whether a backend gives the model's known answer, and what to say of it. */

import type { KnownAnswer, Manifest } from "../artifact/manifest";
import type { ActivationsRequest, Backend, BackendName } from "../backend/backend";
import { compareLogits, describeDifference, type Difference, isRight, ratio } from "./compare";
import { waysTo } from "./ways";

/** What ran the known answer, and what came out. */
export interface KnownAnswerCheck {
  right: boolean;
  backend: BackendName;
  /** As in `BackendInfo`. */
  adapter: string;
  /** The browser's own name for itself. */
  browser: string;
  activations: ActivationsRequest;
  /** WebGPU: name of the variant by name of the kernel, where one was taken. */
  variants: Record<string, string>;
  /** WebAssembly: the module's file. */
  module: string | null;
  /** Of each way to the answer the number that is off by most of its tolerance. */
  ways: { name: string; worst: Difference }[];
}

/** Runs every way. What the caches hold is lost. Throws what the backend throws. */
export async function checkKnownAnswer(backend: Backend, manifest: Manifest, answer: KnownAnswer): Promise<KnownAnswerCheck> {
  const ways: KnownAnswerCheck["ways"] = [];
  for (const { name, run } of waysTo(answer, manifest, backend.prefillSizes)) {
    ways.push({ name, worst: compareLogits(await run(backend), answer, backend.activations) });
  }
  backend.kept.begin(0);
  const { name, adapter, kernels, module } = backend.info;
  const right = ways.every(({ worst }) => isRight(worst));
  const variants = kernels?.variants ?? {};
  return { right, backend: name, adapter, browser: navigator.userAgent, activations: backend.activations, variants, module: module?.file ?? null, ways };
}

/** The most that a number is off, in hundredths of its tolerance. */
export function percentOff({ ways }: KnownAnswerCheck): number {
  return Math.ceil(100 * Math.max(...ways.map(({ worst }) => ratio(worst))));
}

/** One sentence: what ran where, and what it gave in place of what. */
export function describeCheck(check: KnownAnswerCheck): string {
  const { right, ways } = check;
  const { name, worst } = ways.reduce((most, each) => (ratio(each.worst) > ratio(most.worst) ? each : most));
  const found = right
    ? `gives the known answer; the worst difference is ${percentOff(check)} % of its tolerance`
    : `does not give the model's known answer: by ${name}, ${describeDifference(worst)}`;
  return `${describeRunner(check)} ${found}`;
}

function describeRunner({ backend, adapter, browser, activations, variants, module }: KnownAnswerCheck): string {
  if (backend === "wasm") return `WebAssembly (${module}, in ${browser})`;
  const names = Object.entries(variants).map(([kernel, variant]) => `${variant} for ${kernel}`);
  const shown = names.length > MOST_NAMES ? [...names.slice(0, MOST_NAMES), `${names.length - MOST_NAMES} more`] : names;
  const chosen = names.length === 0 ? "no variants of kernels" : `variants of kernels: ${shown.join(", ")}`;
  return `WebGPU (${adapter}, in ${browser}, ${activations} activations, ${chosen})`;
}

const MOST_NAMES = 6;
