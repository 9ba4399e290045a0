/** The entry of a worker, of one that serves one page and ends with it, and of one that tabs share, which ends when the last of them has left. */

import { EngineServer } from "./engine_server";
import type { Endpoint } from "./rpc";

if ("onconnect" in globalThis) {
  const server = new EngineServer(() => globalThis.close());
  globalThis.addEventListener("connect", (event) => {
    const port = (event as MessageEvent).ports[0]!;
    server.connect(port);
    port.start();
  });
} else new EngineServer().connect(globalThis as unknown as Endpoint);
