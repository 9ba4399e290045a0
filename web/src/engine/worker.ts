/**
 * Where the engine's core begins: in a worker that serves one page and ends with it, in one that tabs share and which ends when the last of them has left, or
 * in the page's own thread. One file for all three, since each build of it would bring a grammar library of its own.
 */

import { EngineServer } from "./engine_server";
import type { Endpoint } from "./rpc";

if ("document" in globalThis) {
  // By its address this script is told from another version of it in the same page.
  globalThis.addEventListener(import.meta.url, (event) => new EngineServer().connect((event as CustomEvent<MessagePort>).detail));
} else if ("onconnect" in globalThis) {
  const server = new EngineServer(() => globalThis.close());
  globalThis.addEventListener("connect", (event) => {
    const port = (event as MessageEvent).ports[0]!;
    server.connect(port);
    port.start();
  });
} else new EngineServer().connect(globalThis as unknown as Endpoint);
