/**
 * Where the engine's core begins: in a worker that serves one page and ends with it, in one that tabs share and which ends when the last of them has left, or
 * in the page's own thread. One file for all three, since each build of it would bring a grammar library of its own.
 */

import { holdLock } from "../artifact/locks";
import { EngineServer } from "./engine_server";
import type { Endpoint } from "./rpc";

/**
 * A lock that this worker holds for as long as it is there: who gets it knows that the worker is gone, of which nothing else tells. Null where there is none, as
 * without https, or in a frame without an origin.
 */
async function holdLifetime(): Promise<string | null> {
  if (!("locks" in navigator)) return null;
  const name = `gemlet worker ${crypto.randomUUID()}`;
  return holdLock(name).then(() => name, () => null);
}

if ("document" in globalThis) {
  // By its address this script is told from another version of it in the same page.
  globalThis.addEventListener(import.meta.url, (event) => new EngineServer().connect((event as CustomEvent<MessagePort>).detail));
} else if ("onconnect" in globalThis) {
  const server = new EngineServer(() => globalThis.close(), holdLifetime());
  globalThis.addEventListener("connect", (event) => {
    const port = (event as MessageEvent).ports[0]!;
    server.connect(port);
    port.start();
  });
} else new EngineServer(undefined, holdLifetime()).connect(globalThis as unknown as Endpoint);
