/** Loads a model for a component: the engine, the bars of its progress, and what went wrong. */

import type { ReactiveController, ReactiveControllerHost } from "lit";
import type { BackendInfo } from "../backend/backend";
import { Engine, type LoadOptions } from "../engine/engine";
import type { Progress } from "../engine/load";
import type { StatusEvent } from "./events";
import { BACKENDS } from "./format";
import { formatProgress, phaseName } from "./load_progress"; // also defines the element

const PHASES: Progress["phase"][] = ["manifest", "weights", "tokenizer", "kernels"];

export class ModelLoad implements ReactiveController {
  engine: Engine | undefined;
  /** The newest of each phase. */
  phases: Progress[] = [];
  /** Says that another backend has taken over; "" if none has. */
  change = "";
  private loading = new AbortController();

  constructor(
    private readonly host: ReactiveControllerHost,
    /** Told what goes on; an error where the loading failed. */
    private readonly report: (...status: ConstructorParameters<typeof StatusEvent>) => void,
  ) {
    host.addController(this);
  }

  hostDisconnected(): void {
    void this.unload();
  }

  /** Resolves when the model in that folder is there in place of the one before, or has failed, or another one was asked for. */
  async load(folder: string, options: LoadOptions = {}): Promise<void> {
    const unloading = this.unload();
    const { signal } = (this.loading = new AbortController());
    try {
      await unloading;
      const onProgress = (progress: Progress): void => {
        if (!signal.aborted) this.show(progress);
      };
      const onBackend = ({ name, reason }: BackendInfo): void => {
        this.change = `${BACKENDS[name]} has taken over. ${reason}.`;
        this.host.requestUpdate();
      };
      const engine = await Engine.load(folder, { ...options, onProgress, onBackend, signal });
      if (signal.aborted) return await engine.unload();
      this.engine = engine;
      this.report("Ready");
    } catch (error) {
      if (!signal.aborted) this.report("Not loaded", error as Error);
    }
    this.host.requestUpdate();
  }

  /** Ends what loads, and frees what is loaded. */
  async unload(): Promise<void> {
    this.loading.abort();
    const before = this.engine;
    this.engine = undefined;
    this.phases = [];
    this.change = "";
    this.host.requestUpdate();
    await before?.unload();
  }

  private show(progress: Progress): void {
    const others = this.phases.filter(({ phase }) => phase !== progress.phase);
    this.phases = [...others, progress].sort((a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase));
    const unfinished = this.phases.find(({ loaded, total }) => loaded < total) ?? progress;
    this.report(`Loading: ${phaseName(unfinished.phase)}, ${formatProgress(unfinished)}`, undefined, true);
    this.host.requestUpdate();
  }
}
