/** The models that this site offers, and the one that the address asks for. */

import { list, object, text, whole } from "../artifact/check_shape";
import { fetchJson } from "../artifact/fetching";
import { show } from "../engine/check_fields";
import { GemletError } from "../errors";

export interface ModelEntry {
  name: string;
  title: string;
  bytes: number;
}

const INDEX = object({ models: list(object({ name: text, title: text, bytes: whole() })) });

/** A name that leads out of the folder of models is none. */
const FOLDER = /^(?!\.+$)[^/\\?#%\s]+$/;

/** Throws GemletError "network" or "bad-artifact". */
export async function fetchModels(): Promise<ModelEntry[]> {
  const address = new URL("models/index.json", document.baseURI).href;
  return modelsOf(await fetchJson(address), address);
}

/** Those of an index from `address`, each name once. Throws GemletError "bad-artifact". */
export function modelsOf(index: unknown, address: string): ModelEntry[] {
  const fail = (problem: string): never => {
    throw new GemletError("bad-artifact", `${address}: ${problem}`);
  };
  INDEX(index, "index", fail);
  const { models } = index as { models: ModelEntry[] };
  const wrong = models.find(({ name }) => !FOLDER.test(name));
  if (wrong) fail(`expected the name of a folder, found ${show(wrong.name)}`);
  if (models.length === 0) fail("it lists no model; compile one with build.py");
  return models.filter(({ name }, place) => models.findIndex((each) => each.name === name) === place);
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
