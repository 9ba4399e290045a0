/** The workers that compute beside the engine's own thread. */

import { GemletError } from "../errors";
import { startWorker, workerFailure } from "../start_worker";
import type { ThreadStart } from "./instance";
import threadAddress from "./thread.ts?worker&url";

/** Milliseconds. Threads are idle long before, unless a step broke off and left them in its midst. */
const LONGEST_WAIT = 1000;

/**
 * Workers are never ended one by one: the end of the engine's worker, which started them, is theirs too. In Chromium a worker that ends in the moment in
 * which its parent is ended keeps both threads, and the memory, for as long as the page is there.
 */
export class Pool {
  private constructor(private readonly workers: readonly Worker[]) {}

  /** Resolves when every thread but 0 is about to serve. Throws GemletError "worker-failed" where one does not start. */
  static async start(starts: readonly ThreadStart[]): Promise<Pool> {
    const workers = starts.map(({ thread }) => startWorker(threadAddress, `gemlet thread ${thread}`));
    const ready = workers.map((worker, i) => answer(worker, `thread ${starts[i]!.thread} of WebAssembly`));
    for (const [i, worker] of workers.entries()) worker.postMessage(starts[i]!);
    await Promise.all(ready);
    return new Pool(workers);
  }

  /** Resolves when no thread computes any more, nor waits for a step; one that failed does neither. `quit`: of the module. */
  async quit(quit: () => void): Promise<void> {
    const idle = Promise.allSettled(this.workers.map((worker) => answer(worker, "a thread of WebAssembly")));
    quit();
    await Promise.race([idle, new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT))]);
  }
}

/** The next message of a worker; rejects where it fails. */
function answer(worker: Worker, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", () => resolve(), { once: true });
    worker.addEventListener("messageerror", () => reject(new GemletError("worker-failed", `${name} failed: its message could not be read`)));
    worker.addEventListener("error", (event) => {
      reject(new GemletError("worker-failed", `${name} failed: ${workerFailure(event)}`));
    });
  });
}
