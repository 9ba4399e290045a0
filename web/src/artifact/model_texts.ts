/** What the page's service worker keeps of models beside their weights: manifest, tokenizer, modules. */

/** How the names of its caches begin (web/src/offline/service_worker.ts), one for each site of the origin. */
const CACHES = "gemlet ";

/** Removes what is kept of the model in `folder`. */
export async function removeTexts(folder: string): Promise<void> {
  for (const name of await names()) {
    if (!name.startsWith(CACHES)) continue;
    const cache = await caches.open(name);
    for (const request of await cache.keys()) if (request.url.startsWith(folder)) await cache.delete(request);
  }
}

/** None where the browser, or this window of it, offers no caches. */
async function names(): Promise<string[]> {
  try {
    return await caches.keys();
  } catch {
    return [];
  }
}
