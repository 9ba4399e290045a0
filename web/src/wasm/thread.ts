/** The entry of a worker that computes beside the engine's: after one message it serves until it is told to quit, and hears nothing else. */

import { instantiate, type ThreadStart } from "./instance";

globalThis.addEventListener("message", ({ data }: MessageEvent<ThreadStart>) => {
  const { serve, abandon } = instantiate(data);
  postMessage("ready");
  try {
    serve(data.thread, data.threads);
  } catch (cause) {
    abandon();
    throw cause;
  }
  postMessage("idle");
});
