/** Goes on with a download where an earlier one broke off. */

import { GemletError } from "../errors";
import { fetchFile } from "./fetching";

/** A body that begins at byte `at` of the file. `etag`: the file's version, if the host states one that stands for its very bytes. */
export interface Begun {
  response: Response;
  at: number;
  etag: string | null;
}

/**
 * Asks for a file from byte `from` on, if it is still the version `etag` (null: not known). The body begins at 0 where it is not, and where the host does
 * not know ranges. Throws as fetchFile.
 */
export async function requestFrom(url: string, from: number, etag: string | null, cache: RequestCache, signal?: AbortSignal): Promise<Begun> {
  const rest = from > 0 ? await requestRest(url, from, etag, cache, signal) : null;
  const response = rest ?? (await fetchFile(url, signal, { cache }));
  const isRest = response.status === 206;
  return { response, at: isRest ? from : 0, etag: strongTag(response) ?? (isRest ? etag : null) };
}

/** Null where the host refuses the range, or another origin the header for it; it may give the whole file all the same. */
async function requestRest(url: string, from: number, etag: string | null, cache: RequestCache, signal?: AbortSignal): Promise<Response | null> {
  // Another origin would have to allow If-Range beforehand. Without it, the shard's hash tells two versions from one.
  const isOwn = new URL(url).origin === globalThis.location?.origin;
  const headers = { Range: `bytes=${from}-`, ...(etag !== null && isOwn && { "If-Range": etag }) };
  try {
    const response = await fetchFile(url, signal, { cache, headers });
    const range = response.headers.get("Content-Range"); // which other origins need not show
    if (response.status !== 206 || range === null || range.startsWith(`bytes ${from}-`)) return response;
    await response.body?.cancel();
    return null;
  } catch (refusal) {
    if (refusal instanceof GemletError && refusal.code === "network") return null;
    throw refusal;
  }
}

/** Weak tags, W/"…", stand for bytes that are alike. */
function strongTag(response: Response): string | null {
  const tag = response.headers.get("ETag");
  return tag?.startsWith('"') ? tag : null;
}
