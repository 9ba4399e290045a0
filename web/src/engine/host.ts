/** Where the engine's core runs, and the way to it. */

import { holdLock, whenFree } from "../artifact/locks";
import { GemletError } from "../errors";
import { startSharedWorker, startWorker, workerFailure } from "../start_worker";
import type { Endpoint } from "./rpc";
import workerAddress from "./worker.ts?worker&url";

export type HostRequest = "worker" | "shared-worker" | "page";

export interface Host {
  endpoint: Endpoint;
  /** Name of the lock that this tab holds for as long as it takes part in what others share; null: nothing is shared. */
  tab: string | null;
  /** The engine's worker holds the lock of this name: whoever gets it knows that it has ended, of which a browser does not tell. */
  watch(lifetime: string): void;
  /** After `unload`, or a load that failed. */
  end(): void;
}

/** `identity`: tabs that say the same share an engine, where one is shared. `onFailure` is told of a worker that fails. Throws GemletError "bad-request". */
export async function openHost(request: HostRequest, identity: string, onFailure: (error: GemletError) => void): Promise<Host> {
  const fail = (event: ErrorEvent): void => onFailure(new GemletError("worker-failed", `the engine's worker failed: ${workerFailure(event)}`));
  const watched = watcher(() => onFailure(new GemletError("worker-failed", "the engine's worker has ended; load the model again")));
  switch (request) {
    case "worker":
      return openWorker(fail, watched);
    case "shared-worker":
      return openSharedWorker(identity, fail, watched);
    case "page":
      return openPage();
    default:
      throw new GemletError("bad-request", `host: expected "worker", "shared-worker" or "page", found ${JSON.stringify(request)}`);
  }
}

interface Watcher {
  watch(lifetime: string): void;
  stop(): void;
}

function watcher(onEnd: () => void): Watcher {
  let stop = (): void => undefined;
  return { watch: (lifetime) => (stop = whenFree(lifetime, onEnd)), stop: () => stop() };
}

function openWorker(onError: (event: ErrorEvent) => void, { watch, stop }: Watcher): Host {
  const worker = startWorker(workerAddress, "gemlet");
  worker.addEventListener("error", onError);
  const end = (): void => {
    stop();
    worker.terminate();
  };
  return { endpoint: worker, tab: null, watch, end };
}

async function openSharedWorker(identity: string, onError: (event: ErrorEvent) => void, { watch, stop }: Watcher): Promise<Host> {
  const worker = startSharedWorker(workerAddress, `gemlet ${identity}`);
  worker.addEventListener("error", onError);
  worker.port.start();
  const tab = `gemlet tab ${crypto.randomUUID()}`;
  const leave = await holdLock(tab).catch(({ message }: Error) => {
    throw new GemletError("bad-request", `host: this browser gives the page no locks, which sharing needs (${message}); load with host: "worker"`);
  });
  const end = (): void => {
    stop();
    leave();
    worker.port.close();
  };
  return { endpoint: worker.port, tab, watch, end };
}

/** The page computes itself: its own thread waits for each step of WebAssembly. */
async function openPage(): Promise<Host> {
  const { port1, port2 } = new MessageChannel();
  const script = new URL(workerAddress, import.meta.url).href;
  await import(/* @vite-ignore */ script);
  globalThis.dispatchEvent(new CustomEvent(script, { detail: port1 }));
  port1.start();
  port2.start();
  return { endpoint: port2, tab: null, watch: () => undefined, end: () => port2.close() };
}
