/** One thread's instance of a module; all threads' instances share the memory. */

import { GemletError } from "../errors";

/** docs/artifact.md, "WebAssembly". `serve`, `abandon` and `quit` are there in modules with threads alone. */
export interface Exports {
  /** Does a step, before any thread serves. Older artifacts, which have no step for trials, lack it. */
  alone(step: number): void;
  /** Does the launches first … last - 1 of a step, while no step is under way. */
  part(step: number, first: number, last: number): void;
  /** Called by thread 0: does a step together with the threads that serve. */
  run(step: number, threads: number): void;
  /** Called by each other thread, once: takes part in every step until `quit`. */
  serve(thread: number, threads: number): void;
  /** To be called by a thread whose `serve` has trapped: `run` traps, too, and so does every later one. */
  abandon(): void;
  quit(): void;
  __stack_pointer: WebAssembly.Global<"i32">;
}

/** What a thread starts with. `stackTop`: byte where its stack begins, to grow down from. */
export interface ThreadStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  thread: number;
  threads: number;
  stackTop: number;
}

/** Throws GemletError "bad-artifact" where the module asks for more than the memory. */
export function instantiate({ module, memory, stackTop }: ThreadStart): Exports {
  try {
    const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
    exports.__stack_pointer.value = stackTop;
    return exports;
  } catch (cause) {
    if (!(cause instanceof WebAssembly.LinkError)) throw cause;
    throw new GemletError("bad-artifact", `the module does not fit this engine: ${cause.message}; compile the model again`);
  }
}
