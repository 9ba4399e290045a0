/** Files of the artifact folder, over HTTP, with errors that name the address. */

import { GemletError, throwIfAborted } from "../errors";

/** Fetches `url`; throws GemletError "network" for any status but success, "aborted" where the signal fired. */
export async function fetchFile(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (cause) {
    throw fetchError(url, cause, signal);
  }
  if (!response.ok) {
    throw new GemletError("network", `${url}: the server answered ${response.status} ${response.statusText}`.trimEnd());
  }
  return response;
}

export async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  const response = await fetchFile(url, signal);
  try {
    return await response.text();
  } catch (cause) {
    throw fetchError(url, cause, signal);
  }
}

/** Throws GemletError "bad-artifact" where the text is not JSON. */
export async function fetchJson(url: string, signal?: AbortSignal): Promise<unknown> {
  const text = await fetchText(url, signal);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GemletError("bad-artifact", `${url}: not JSON: ${(cause as Error).message}`);
  }
}

/**
 * Reads `url` into the front of `target`, which must hold `bytes`; calls `onBytes` with the length of each part.
 * Throws GemletError "bad-artifact" where the file has another length.
 */
export async function fetchInto(
  target: Uint8Array,
  url: string,
  bytes: number,
  onBytes: (count: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const response = await fetchFile(url, signal);
  let length = 0;
  if (response.body) {
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        throw fetchError(url, cause, signal);
      });
      if (done) break;
      if (length + value.length > bytes) {
        await reader.cancel();
        throw new GemletError("bad-artifact", `${url}: the file is longer than the ${bytes} bytes that the manifest states`);
      }
      target.set(value, length);
      length += value.length;
      onBytes(value.length);
    }
  }
  if (length !== bytes) {
    throw new GemletError("bad-artifact", `${url}: the file has ${length} bytes, the manifest states ${bytes}; load again or upload it again`);
  }
}

function fetchError(url: string, cause: unknown, signal: AbortSignal | undefined): GemletError {
  try {
    throwIfAborted(signal);
  } catch (aborted) {
    return aborted as GemletError;
  }
  return new GemletError("network", `${url}: the transfer failed: ${(cause as Error).message}`);
}
