/** Room in the browser's storage, looked for before a download. */

import { GemletError } from "../errors";
import { withoutQuery } from "./addresses";
import { freeBytes } from "./site_quota";
import { deleteModel, type StoredModel, storedModels } from "./stored_models";

/** What is short, in bytes, and the other models that could go, the least recently used first. `free`: 0 where it turned out to be full in the midst of a download. */
export interface StorageFull {
  needed: number;
  free: number;
  candidates: StoredModel[];
}

/** Resolves with the folders of the candidates that may be deleted. */
export type AskForRoom = (full: StorageFull) => Promise<string[]>;

/**
 * Null where the browser says that it has room for `needed` bytes more; else why nothing more can be kept. It may be wrong: Chrome tells less than it knows.
 * `folder`: the model that they are for. Other models are deleted only where `ask` names them. Throws as offerModels.
 */
export async function makeRoom(folder: string, needed: number, ask: AskForRoom | null): Promise<string | null> {
  const free = await freeBytes();
  if (needed <= free) return null;
  await offerModels(folder, needed, free, ask);
  const left = await freeBytes();
  return needed <= left ? null : `the model needs ${mebibytes(needed)} more of the browser's storage, which has ${mebibytes(left)} free for this site`;
}

/** Deletes of the other models those that `ask` names; whether there was any. Throws GemletError "bad-request" where it names what is no candidate. */
export async function offerModels(folder: string, needed: number, free: number, ask: AskForRoom | null): Promise<boolean> {
  const candidates = (await storedModels()).filter((model) => model.folder !== withoutQuery(folder));
  const chosen = ask && candidates.length > 0 ? await ask({ needed, free, candidates }) : [];
  const wrong = chosen.find((each) => !candidates.some((candidate) => candidate.folder === each));
  if (wrong !== undefined) {
    const known = candidates.map((candidate) => candidate.folder).join(", ");
    throw new GemletError("bad-request", `onStorageFull: expected folders of candidates (${known}), found ${JSON.stringify(wrong)}`);
  }
  for (const each of chosen) await deleteModel(each);
  return chosen.length > 0;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
