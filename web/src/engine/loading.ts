/** A load that one page waits for, or several do. */

import type { AskForRoom } from "../artifact/room";
import { GemletError } from "../errors";
import { Core } from "./core";
import { loadModel, type LoadRequest, type Progress } from "./load";
import type { LoadEvent, Notice } from "./rpc";

type OnEvent = (event: LoadEvent) => void;

export class Loading {
  /** Rejects as `loadModel` does. */
  readonly core: Promise<Core>;
  /** Pages that wait, the first to come first. */
  private readonly waiting = new Set<OnEvent>();
  private readonly aborter = new AbortController();
  private answerRoom: (folders: string[]) => void = () => undefined;

  /** `notify` is told what happens once the model is loaded: another backend takes over. */
  constructor(request: LoadRequest, notify: (notice: Notice) => void) {
    this.core = this.load(request, notify);
  }

  /** Waits with others. The load ends when nobody waits any more; who leaves before gets GemletError "aborted". */
  join(onEvent: OnEvent, signal: AbortSignal): Promise<Core> {
    this.waiting.add(onEvent);
    return new Promise<Core>((resolve, reject) => {
      signal.addEventListener("abort", () => {
        this.answerRoom([]); // who was asked may be the one who leaves
        this.waiting.delete(onEvent);
        if (this.waiting.size === 0) this.aborter.abort();
        else reject(new GemletError("aborted", "loading was aborted by the caller's signal"));
      });
      this.core.then(resolve, reject);
    });
  }

  /** Folders of stored models that may be deleted, as the page that was asked says. */
  makeRoom(folders: string[]): void {
    this.answerRoom(folders);
  }

  private async load(request: LoadRequest, notify: (notice: Notice) => void): Promise<Core> {
    let loaded = false;
    const onProgress = (progress: Progress): void => {
      if (loaded) return notify({ progress });
      for (const onEvent of this.waiting) onEvent(progress);
    };
    const askForRoom: AskForRoom = async (storageFull) => {
      const [first] = this.waiting;
      if (loaded || !first) return []; // another backend is loaded in the midst of an answer: there is nobody to ask
      return new Promise((resolve) => {
        this.answerRoom = resolve;
        first({ storageFull });
      });
    };
    const model = await loadModel(request, request.asksForRoom ? askForRoom : null, onProgress, this.aborter.signal);
    loaded = true;
    return new Core(model, request, (backend) => notify({ backend }));
  }
}
