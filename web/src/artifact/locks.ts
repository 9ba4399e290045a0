/** What one tab of the site does at a time. A tab that ends gives its locks back. */

import { throwIfAborted } from "../errors";

/** Runs `work` when no other tab runs what has this name. Where the browser has no such locks, it runs at once. Throws GemletError "aborted", or what `work` does. */
export async function withLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const { locks } = globalThis.navigator as Partial<Navigator>;
  if (!locks) return work();
  let isGranted = false;
  try {
    return await locks.request(name, { ...(signal && { signal }) }, () => {
      isGranted = true;
      return work();
    });
  } catch (error) {
    if (!isGranted) throwIfAborted(signal);
    throw error;
  }
}
