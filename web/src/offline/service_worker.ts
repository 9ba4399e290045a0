/**
 * The page's service worker: keeps what the page needs to open without a network. Weights are not among it: the engine has a store of its own.
 *
 * Files named by their hash come from the cache first. All else comes from the network, and from the cache where there is none, so that no visitor with a
 * network sees an old page. The cache is this site's own: other sites of the same origin have a scope, and a cache, of theirs.
 */

// TypeScript has these in a library that contradicts the page's.
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope extends EventTarget {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
}

const worker = globalThis as unknown as Scope;
const { scope } = worker.registration;
const NAME = `gemlet ${scope}`;

/** Addresses below the scope; the build writes them here (vite.config.ts). */
const FILES = JSON.parse("%FILES%") as string[];

worker.addEventListener("install", (event) => (event as ExtendableEvent).waitUntil(keepFiles()));
worker.addEventListener("activate", (event) => (event as ExtendableEvent).waitUntil(Promise.all([dropOldFiles(), worker.clients.claim()])));
worker.addEventListener("fetch", (event) => {
  const answer = answerOf(event as FetchEvent);
  if (answer) (event as FetchEvent).respondWith(answer);
});

async function keepFiles(): Promise<void> {
  const cache = await caches.open(NAME);
  await cache.addAll(FILES.map((file) => new Request(scope + file, { cache: "no-cache" })));
}

/** Assets of earlier builds; no page uses them any more when this worker becomes active. */
async function dropOldFiles(): Promise<void> {
  const cache = await caches.open(NAME);
  const wanted = new Set(FILES.map((file) => scope + file));
  for (const request of await cache.keys()) {
    if (request.url.startsWith(`${scope}assets/`) && !wanted.has(request.url)) await cache.delete(request);
  }
}

/** Undefined where the request is none of the page's. */
function answerOf(event: FetchEvent): Promise<Response> | undefined {
  const { request } = event;
  const address = request.url.replace(/[?#].*/, "");
  if (request.method !== "GET" || request.headers.has("Range") || !address.startsWith(scope)) return undefined;
  const file = address.slice(scope.length).replace(/^index\.html$/, "");
  if (file.startsWith("assets/")) return cached(scope + file).then((response) => response ?? fetch(request));
  const ofModel = file.startsWith("models/") && !file.includes("/weights/");
  return ofModel || FILES.includes(file) ? fromNetwork(event, scope + file) : undefined;
}

async function fromNetwork(event: FetchEvent, address: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(event.request);
  } catch (error) {
    const kept = await cached(address);
    if (kept) return kept;
    throw error;
  }
  if (response.ok) event.waitUntil(keep(address, response.clone()));
  return response;
}

/** Where there is no room, the page only needs its network the next time. */
async function keep(address: string, response: Response): Promise<void> {
  try {
    await (await caches.open(NAME)).put(address, response);
  } catch {}
}

async function cached(address: string): Promise<Response | undefined> {
  return (await caches.open(NAME)).match(address, { ignoreVary: true });
}
