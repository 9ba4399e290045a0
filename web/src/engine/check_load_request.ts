/** Checks what a page asks for when it loads a model, before anything is downloaded. */

import { GemletError } from "../errors";
import { type Check, check, fields } from "./check_fields";
import type { LoadOptions } from "./engine";
import type { LoadRequest } from "./load";

const isFunction = check("a function", (value) => value === null || typeof value === "function");
const isAny: Check = () => undefined;

/** What is checked when all of them are known is checked below. */
const OPTIONS: Record<keyof LoadOptions, Check> = {
  backend: isAny,
  perLayerEmbeddings: isAny,
  tuning: isAny,
  activations: isAny,
  threads: isAny,
  stepsInFlight: isAny,
  conversationMemory: isAny,
  knownAnswer: isAny,
  host: isAny,
  onProgress: isFunction,
  onBackend: isFunction,
  onStorageFull: isFunction,
  signal: check("an AbortSignal", (value) => value === null || typeof (value as Partial<AbortSignal>).aborted === "boolean"),
};

/** Throws GemletError "bad-request" that names an option that is not known, or a function that is none. */
export function checkLoadOptions(options: unknown): asserts options is LoadOptions {
  fields({}, OPTIONS)(options, "");
}

type Checked = Omit<LoadRequest, "folder" | "backend" | "tab" | "asksForRoom">;

/** Throws GemletError "bad-request" that names the option. The backend's name is checked where it is chosen. */
export function checkLoadRequest({ perLayerEmbeddings, tuning, activations, stepsInFlight, conversationMemory, threads, knownAnswer }: Checked): void {
  checkChoice("perLayerEmbeddings", perLayerEmbeddings, ["auto", "gpu", "storage"]);
  const { milliseconds, variant } = (tuning ?? {}) as { milliseconds?: number; variant?: number };
  if (!((milliseconds ?? 0) > 0 || Number.isInteger(variant))) checkChoice("tuning", tuning, ["auto", "off"]);
  if (activations !== null) checkChoice("activations", activations, ["float", "float16", "int16", "int8"]);
  checkChoice("knownAnswer", knownAnswer, ["auto", "off"]);
  checkCount("stepsInFlight", stepsInFlight);
  if (threads !== null) checkCount("threads", threads);
  if (!(Number.isInteger(conversationMemory) && conversationMemory >= 0)) fail("conversationMemory", "a whole number of bytes, 0 for none", conversationMemory);
}

function checkChoice(option: string, found: unknown, expected: readonly string[]): void {
  if (typeof found === "string" && expected.includes(found)) return;
  const names = expected.map((name) => JSON.stringify(name));
  fail(option, `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`, found);
}

function checkCount(option: string, found: unknown): void {
  if (!Number.isInteger(found) || (found as number) < 1) fail(option, "a whole number of at least 1", found);
}

function fail(option: string, expected: string, found: unknown): never {
  throw new GemletError("bad-request", `${option}: expected ${expected}, found ${JSON.stringify(found)}`);
}
