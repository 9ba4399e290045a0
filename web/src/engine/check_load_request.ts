/** Checks what a page asks for when it loads a model, before anything is downloaded. */

import { GemletError } from "../errors";
import type { LoadRequest } from "./load";

/** Throws GemletError "bad-request" that names the option. The backend's name is checked where it is chosen. */
export function checkLoadRequest({ perLayerEmbeddings, tuning, activations, stepsInFlight }: Omit<LoadRequest, "folder" | "backend">): void {
  checkChoice("perLayerEmbeddings", perLayerEmbeddings, ["auto", "gpu", "storage"]);
  const { milliseconds, variant } = (tuning ?? {}) as { milliseconds?: number; variant?: number };
  if (!((milliseconds ?? 0) > 0 || Number.isInteger(variant))) checkChoice("tuning", tuning, ["auto", "off"]);
  checkChoice("activations", activations, ["float", "int8"]);
  if (!Number.isInteger(stepsInFlight) || stepsInFlight < 1) fail("stepsInFlight", "a whole number of at least 1", stepsInFlight);
}

function checkChoice(option: string, found: unknown, expected: readonly string[]): void {
  if (typeof found === "string" && expected.includes(found)) return;
  const names = expected.map((name) => JSON.stringify(name));
  fail(option, `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`, found);
}

function fail(option: string, expected: string, found: unknown): never {
  throw new GemletError("bad-request", `${option}: expected ${expected}, found ${JSON.stringify(found)}`);
}
