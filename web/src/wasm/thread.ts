/** The entry of a worker that computes beside the engine's: after one message it serves until it is told to quit, and hears nothing else. */

import { instantiate, type ThreadStart } from "./instance";

globalThis.addEventListener("message", ({ data }: MessageEvent<ThreadStart>) => {
  const { serve } = instantiate(data);
  postMessage("ready");
  serve(data.thread, data.threads);
  postMessage("idle");
});
