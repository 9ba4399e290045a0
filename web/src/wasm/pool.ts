/** The workers that compute beside the engine's own thread. */

import { GemletError } from "../errors";
import type { ThreadStart } from "./instance";

export class Pool {
  private constructor(private readonly workers: readonly Worker[]) {}

  /**
   * Resolves when every thread but 0 is about to serve. `stackTop` tells where a thread's stack begins. Throws GemletError "worker-failed" where one does
   * not start; none is left then.
   */
  static async start(module: WebAssembly.Module, memory: WebAssembly.Memory, threads: number, stackTop: (thread: number) => number): Promise<Pool> {
    const workers: Worker[] = [];
    const ready = Array.from({ length: threads - 1 }, (_, i) => {
      const thread = i + 1;
      const worker = new Worker(new URL("./thread.ts", import.meta.url), { type: "module", name: `gemlet thread ${thread}` });
      workers.push(worker);
      worker.postMessage({ module, memory, thread, threads, stackTop: stackTop(thread) } satisfies ThreadStart);
      return started(worker, thread);
    });
    const pool = new Pool(workers);
    try {
      await Promise.all(ready);
    } catch (error) {
      pool.terminate();
      throw error;
    }
    return pool;
  }

  terminate(): void {
    for (const worker of this.workers) worker.terminate();
  }
}

function started(worker: Worker, thread: number): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", () => resolve());
    worker.addEventListener("error", ({ message }) => {
      reject(new GemletError("worker-failed", `thread ${thread} of WebAssembly failed: ${message || "its script did not load"}`));
    });
  });
}
