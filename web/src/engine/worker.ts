/** The worker's entry: one model, served over RPC. */

import { GemletError } from "../errors";
import { Core } from "./core";
import { loadModel, type Progress } from "./load";
import { type Endpoint, serveRpc } from "./rpc";

let core: Core | undefined;

function loaded(): Core {
  if (!core) throw new GemletError("unloaded", "no model is loaded");
  return core;
}

const notify = serveRpc(globalThis as unknown as Endpoint, {
  async load(request, onProgress, signal) {
    let answered = false;
    const onAnyProgress = (progress: Progress): void => (answered ? notify({ progress }) : onProgress(progress));
    const model = await loadModel(request, onAnyProgress, signal);
    answered = true;
    core = new Core(model, request.stepsInFlight, (backend) => notify({ backend }));
    return core.info;
  },
  logits: async (request) => loaded().logits(request),
  generate: async (request, onEvent, signal) =>
    loaded().generate(
      request,
      (promptTokens) => onEvent({ promptTokens }),
      (token, text) => onEvent({ token, text }),
      signal,
    ),
  async unload() {
    await core?.unload();
    core = undefined;
    return null;
  },
});
