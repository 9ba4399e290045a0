/** Lets the page's service worker keep its files. */

import { scriptAddress } from "../script_address";

/** Milliseconds. */
const LONGEST_WAIT = 2000;

/**
 * Resolves when the service worker sees what the page fetches, so that the first visit's files are kept, too; or when it has failed; or after two seconds.
 * A browser that keeps nothing, as in a private window or a sandboxed frame, only leaves the page without a copy for offline.
 */
export async function keepPage(): Promise<void> {
  // The development server changes its files under the same names.
  if (!import.meta.env.PROD) return;
  try {
    const { serviceWorker } = navigator;
    const controlled = new Promise((resolve) => serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
    const patience = new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT));
    const { installing } = await serviceWorker.register(scriptAddress("service-worker.js") as string);
    const failed = new Promise<void>((resolve) => {
      installing?.addEventListener("statechange", () => installing.state === "redundant" && resolve());
    });
    if (!serviceWorker.controller) await Promise.race([controlled, patience, failed]);
  } catch {}
}
