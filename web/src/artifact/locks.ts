/** What one tab of the site does at a time. A tab that ends gives its locks back. */

import { throwIfAborted } from "../errors";

/** Runs `work` when no other tab runs what has this name. Where the browser has no such locks, or gives none, it runs at once. Throws GemletError "aborted", or what `work` does. */
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
    if (isGranted) throw error;
    throwIfAborted(signal);
    // So in a frame without an origin, or where cookies are blocked: what is kept there, if anything, is this page's alone.
    return work();
  }
}

/** Resolves when this tab, or this worker, holds the lock, with what gives it back; else it is held for as long as there is one. Throws what the browser does. */
export function holdLock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks.request(name, () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}

/** Calls `onFree` when whoever holds the lock now has given it back, or is gone, unless the function that it returns is called before. */
export function whenFree(name: string, onFree: () => void): () => void {
  const stop = new AbortController();
  // Shared: several tabs may wait.
  navigator.locks.request(name, { mode: "shared", signal: stop.signal }, onFree).catch(() => undefined); // it was stopped, or this page is gone itself
  return () => stop.abort();
}
