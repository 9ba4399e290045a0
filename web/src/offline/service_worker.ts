/**
 * The page's service worker: keeps what the page needs to open without a network. Weights are not among it: the engine has a store of its own.
 *
 * Files named by their hash come from the cache first. All else comes from the network, and from the cache where there is none, so that no visitor with a
 * network sees an old page.
 */

import type { Built } from "./checked_file";
import { PageCopy } from "./page_copy";

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
/** The build writes it here (web/page_files.mjs). */
const copy = new PageCopy(worker.registration.scope, JSON.parse("%FILES%") as Built);

worker.addEventListener("install", (event) => (event as ExtendableEvent).waitUntil(copy.install()));
worker.addEventListener("activate", (event) => (event as ExtendableEvent).waitUntil(Promise.all([copy.dropOld(), worker.clients.claim()])));
worker.addEventListener("fetch", (event) => {
  const { request } = event as FetchEvent;
  const answer = copy.answer(request, (work) => (event as FetchEvent).waitUntil(work));
  if (answer) (event as FetchEvent).respondWith(answer);
});
