/** Addresses of a model's folder and its files. A query of the folder, as hosts take for versions or keys, goes behind each file's name. */

import { GemletError } from "../errors";

const MANIFEST = "model.json";

/**
 * The absolute address of a folder, with a slash at its end and perhaps a query behind it. `folder`: an address, relative to the page, of the folder or of the
 * manifest in it. Throws GemletError "bad-request" where it is none.
 */
export function folderAddress(folder: unknown): string {
  const refuse = (problem: string): never => {
    throw new GemletError("bad-request", `folder: expected the address of a model's folder, such as "models/NAME/", found ${problem}`);
  };
  if (!(folder instanceof URL) && (typeof folder !== "string" || folder.trim() === "")) return refuse(typeof folder === "string" ? "an empty text" : nameOf(folder));
  const text = String(folder);
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  if (!URL.canParse(text, base)) return refuse(`${JSON.stringify(text)}, which is no address here`);
  const address = new URL(text, base);
  // Of blob:, data: and the like nothing lies beside.
  if (!URL.canParse(MANIFEST, address.href)) return refuse(`one of ${address.protocol}, where no files lie beside each other`);
  const path = address.pathname.endsWith(`/${MANIFEST}`) ? address.pathname.slice(0, -MANIFEST.length) : address.pathname;
  address.pathname = path.endsWith("/") ? path : `${path}/`;
  address.hash = "";
  return address.href;
}

/** The address of a file in a folder of `folderAddress`. */
export function addressIn(folder: string, file: string): string {
  return withoutQuery(folder) + file + folder.slice(withoutQuery(folder).length);
}

/** What tells models apart: with another query it is another version of the same. */
export function withoutQuery(folder: string): string {
  return folder.replace(/\?.*/s, "");
}

function nameOf(value: unknown): string {
  return (typeof value === "object" && value !== null) || typeof value === "function" ? Object.prototype.toString.call(value) : String(value);
}
