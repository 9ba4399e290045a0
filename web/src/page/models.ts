/** The models that this site offers, and the one that the address asks for. */

import { fetchJson } from "../artifact/fetching";
import { GemletError } from "../errors";

export interface ModelEntry {
  name: string;
  title: string;
  bytes: number;
}

/** Throws GemletError "network" or "bad-artifact". */
export async function fetchModels(): Promise<ModelEntry[]> {
  const address = new URL("models/index.json", document.baseURI).href;
  const index = (await fetchJson(address)) as { models?: ModelEntry[] };
  if (!index.models?.length) throw new GemletError("bad-artifact", `${address}: it lists no model; compile one with build.py`);
  return index.models;
}

/** `?model=NAME`, else the first. Throws GemletError "bad-request" where there is no such model. */
export function chosenModel(models: ModelEntry[]): ModelEntry {
  const name = new URLSearchParams(location.search).get("model");
  if (name === null) return models[0]!;
  const found = models.find((model) => model.name === name);
  if (found) return found;
  const names = models.map((model) => model.name).join(", ");
  throw new GemletError("bad-request", `There is no model "${name}" here. There is: ${names}.`);
}

/** Puts the name into the address, so that it can be kept and shared. */
export function rememberModel(name: string): void {
  const address = new URL(location.href);
  address.searchParams.set("model", name);
  history.replaceState(null, "", address);
}
