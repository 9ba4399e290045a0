/** The worker's entry: one model, served over RPC. */

import type { AskForRoom } from "../artifact/room";
import { GemletError } from "../errors";
import { Core } from "./core";
import { loadModel, type Progress } from "./load";
import { type Endpoint, serveRpc } from "./rpc";

let core: Core | undefined;
let answerRoom: (folders: string[]) => void = () => undefined;

function loaded(): Core {
  if (!core) throw new GemletError("unloaded", "no model is loaded");
  return core;
}

const notify = serveRpc(globalThis as unknown as Endpoint, {
  async load(request, onEvent, signal) {
    let answered = false;
    const onProgress = (progress: Progress): void => (answered ? notify({ progress }) : onEvent(progress));
    const askForRoom: AskForRoom = async (storageFull) => {
      if (answered) return []; // another backend is loaded in the midst of an answer: there is nobody to ask
      return new Promise((resolve) => {
        answerRoom = resolve;
        signal.addEventListener("abort", () => resolve([]));
        onEvent({ storageFull });
      });
    };
    const model = await loadModel(request, request.asksForRoom ? askForRoom : null, onProgress, signal);
    answered = true;
    core = new Core(model, request, (backend) => notify({ backend }));
    return core.info;
  },
  async makeRoom(folders) {
    answerRoom(folders);
    return null;
  },
  logits: async (request) => loaded().logits(request),
  generate: async (request, onEvent, signal) =>
    loaded().generate(
      request,
      (promptTokens) => onEvent({ promptTokens }),
      (token, delta, logprob) => onEvent({ token, delta, logprob }),
      signal,
    ),
  async unload() {
    await core?.unload();
    core = undefined;
    return null;
  },
});
