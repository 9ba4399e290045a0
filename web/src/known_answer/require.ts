/** Lets a backend answer only if it gives the model's known answer. What came out is remembered for the device. */

import { list, object, orNull } from "../artifact/check_shape";
import { DeviceMemory } from "../artifact/device_memory";
import type { Manifest } from "../artifact/manifest";
import type { ActivationsRequest, Backend, BackendInfo, BackendName, KnownAnswerInfo } from "../backend/backend";
import { GemletError } from "../errors";
import { checkKnownAnswer, describeCheck, type KnownAnswerCheck } from "./check";

const MOST_REMEMBERED = 8;

/** What is known of a model on a device: what was right, and, where nothing was, what came out. */
export interface Remembered {
  right: KnownAnswerCheck[];
  wrong: KnownAnswerCheck | null;
}

const REMEMBERED = object({ right: list(object({})), wrong: orNull(object({})) });

export function answerMemory(manifest: Manifest, name: BackendName, adapter: string, activations: ActivationsRequest): Promise<DeviceMemory<Remembered>> {
  return DeviceMemory.of<Remembered>("known-answer", JSON.stringify([name, adapter, navigator.userAgent]), manifest.name, JSON.stringify([manifest, activations]), REMEMBERED);
}

/**
 * Nothing is computed where this backend, with the same variants of kernels, was right before. One that is wrong is tried again without variants. `asked`: activations that
 * the page asked for. Throws GemletError "wrong-answers" that says what came out.
 */
export async function requireKnownAnswer(backend: Backend, manifest: Manifest, asked: ActivationsRequest): Promise<void> {
  const answer = manifest.known_answer;
  if (!answer) return;
  const memory = await answerMemory(manifest, backend.info.name, backend.info.adapter, asked);
  const { right = [] } = (await memory.recall()) ?? {};
  const before = right.find((each) => isOf(each, backend));
  if (before) return tell(backend, { source: "remembered", check: before, refused: null });
  let check = await checkKnownAnswer(backend, manifest, answer);
  const first = check;
  if (!check.right && (await backend.withoutVariants())) check = await checkKnownAnswer(backend, manifest, answer);
  tell(backend, { source: "computed", check, refused: first === check ? null : first });
  await remember(memory, check);
  if (!check.right) throw new GemletError("wrong-answers", describeCheck(check));
}

function tell(backend: Backend, known_answer: KnownAnswerInfo): void {
  backend.info = { ...backend.info, known_answer };
}

/** Keeps what a check found, beside what is known of other variants. */
export async function remember(memory: DeviceMemory<Remembered>, check: KnownAnswerCheck): Promise<void> {
  const { right = [] } = (await memory.recall()) ?? {};
  const others = right.filter((each) => identity(each) !== identity(check));
  await memory.keep(check.right ? { right: [check, ...others].slice(0, MOST_REMEMBERED), wrong: null } : { right: others, wrong: check });
}

/** Why a backend is not to be chosen: it was wrong before. Null where nothing is known against it. */
export async function knownFault(manifest: Manifest, name: BackendName, adapter: string, asked: ActivationsRequest): Promise<string | null> {
  if (!manifest.known_answer) return null;
  const { wrong } = (await (await answerMemory(manifest, name, adapter, asked)).recall()) ?? {};
  return wrong ? `${describeCheck(wrong)} (found at an earlier load)` : null;
}

function isOf(check: KnownAnswerCheck, { info }: { info: BackendInfo }): boolean {
  return identity(check) === identity({ variants: info.kernels?.variants ?? {}, module: info.module?.file ?? null });
}

/** What of a backend may differ from load to load. */
function identity({ variants, module }: Pick<KnownAnswerCheck, "variants" | "module">): string {
  return JSON.stringify([Object.entries(variants).sort(), module]);
}
