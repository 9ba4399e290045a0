/** Serves one model over RPC, to one page or to several that share it. */

import { withLock } from "../artifact/locks";
import { GemletError } from "../errors";
import { check, fail, isObject, isText, listOf, show } from "./check_fields";
import type { Core } from "./core";
import type { LoadRequest } from "./load";
import { Loading } from "./loading";
import { type Endpoint, type Notice, serveRpc, type Served } from "./rpc";

export class EngineServer {
  private readonly pages = new Set<Served>();
  private loading: Loading | undefined;

  /** `onLeft`: called when the last page has left and all is freed. `lifetime`: name of the lock that this worker holds, where it can. */
  constructor(
    private readonly onLeft: () => void = () => undefined,
    private readonly lifetime: Promise<string | null> | null = null,
  ) {}

  /** Serves a page at its end of a channel. It leaves by `unload`, or when the lock that its `load` names is free, since its tab is gone then. */
  connect(endpoint: Endpoint): void {
    const page: Served = serveRpc(endpoint, {
      load: async (request, onEvent, signal) => {
        if (!isObject(request)) fail("load", `expected the options of a load, found ${show(request)}`);
        if (typeof request.tab === "string") void withLock(request.tab, () => this.leave(page));
        void this.lifetime?.then((lifetime) => lifetime !== null && page.notify({ lifetime }));
        return (await this.load(request).join(onEvent, signal)).info;
      },
      makeRoom: async (folders) => {
        listOf("folders", check("text", isText), 0)(folders, "makeRoom");
        this.loading?.makeRoom(folders);
        return null;
      },
      logits: async (request) => (await this.core()).logits(request),
      generate: async (request, onEvent, signal) =>
        (await this.core()).generate(
          request,
          (promptTokens) => onEvent({ promptTokens }),
          (token, delta, logprob) => onEvent({ token, delta, logprob }),
          signal,
        ),
      selfTest: async (options) => (await this.core()).selfTest(options),
      unload: async () => {
        await this.leave(page);
        return null;
      },
    });
    this.pages.add(page);
  }

  /** The load that is done or under way, or a new one; one that has failed is forgotten. */
  private load(request: LoadRequest): Loading {
    if (this.loading) return this.loading;
    const loading = new Loading(request, (notice) => this.notify(notice));
    loading.core.catch(() => {
      if (this.loading === loading) this.loading = undefined;
    });
    return (this.loading = loading);
  }

  private async core(): Promise<Core> {
    if (!this.loading) throw new GemletError("unloaded", "no model is loaded");
    return this.loading.core;
  }

  private notify(notice: Notice): void {
    for (const page of this.pages) page.notify(notice);
  }

  private async leave(page: Served): Promise<void> {
    if (!this.pages.delete(page)) return;
    page.end(new GemletError("unloaded", "the engine was unloaded"));
    if (this.pages.size > 0) return;
    const { loading } = this;
    this.loading = undefined;
    const core = await loading?.core.catch(() => undefined);
    await core?.unload();
    // In a turn of its own: the answer to `unload` is on its way then. A page may have come meanwhile.
    setTimeout(() => {
      if (this.pages.size === 0) this.onLeft();
    });
  }
}
