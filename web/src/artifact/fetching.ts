/** Files of the artifact folder, over HTTP, with errors that name the address. */

import { GemletError, throwIfAborted } from "../errors";

/** Fetches `url`; throws GemletError "network" for any status but success, "aborted" where the signal fired. */
export async function fetchFile(url: string, signal?: AbortSignal, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: signal ?? null });
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

type Bytes = Uint8Array<ArrayBuffer>;

/** Memory with bytes of a file at its front. */
export interface Filled {
  memory: ArrayBuffer;
  length: number;
}

/**
 * Reads a body into `memory` from byte `at` on, until it ends or there are more than `bytes`; `memory` must be longer than these. `onPart` is told each part
 * and where it begins. The memory that it resolves with is the same: the object passed is detached. Throws what the body does.
 */
export async function readInto(memory: ArrayBuffer, at: number, body: Body, bytes: number, onPart: (part: Bytes, at: number) => void): Promise<Filled> {
  const reader = partsReader(body.body ?? new Blob().stream());
  for (let length = at; ; ) {
    // With room for one byte too many, so that a longer file shows.
    const { done, value } = await reader.read(new Uint8Array(memory, length, bytes + 1 - length));
    memory = value!.buffer; // only a cancelled stream gives none
    if (done) return { memory, length };
    onPart(value, length);
    length += value.length;
    if (length > bytes) {
      await reader.cancel();
      return { memory, length };
    }
  }
}

type PartsReader = Pick<ReadableStreamBYOBReader, "cancel"> & { read(into: Bytes): Promise<ReadableStreamReadResult<Bytes>> };

/**
 * Reads parts of a body into memory that the caller brings. A reader that makes an array for each part leaves more of them to the
 * garbage collector than the memory that a whole model may take; only where the browser has no other (Safari) do we copy from one.
 */
function partsReader(body: ReadableStream<Bytes>): PartsReader {
  try {
    return body.getReader({ mode: "byob" }) as PartsReader;
  } catch {
    const reader = body.getReader();
    const read = async (into: Bytes): Promise<ReadableStreamReadResult<Bytes>> => {
      const { done, value } = await reader.read();
      if (done) return { done, value: into };
      const part = value.subarray(0, into.length);
      into.set(part);
      return { done, value: into.subarray(0, part.length) };
    };
    return { read, cancel: () => reader.cancel() };
  }
}

export function fetchError(url: string, cause: unknown, signal: AbortSignal | undefined): GemletError {
  try {
    throwIfAborted(signal);
  } catch (aborted) {
    return aborted as GemletError;
  }
  return new GemletError("network", `${url}: the transfer failed: ${(cause as Error).message}`);
}
