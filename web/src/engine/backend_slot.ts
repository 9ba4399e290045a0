/** Holds the backend of a model, and puts another in its place where its GPU fails. */

import type { Backend } from "../backend/backend";
import { GemletError, isBackendFailure } from "../errors";
import type { Backends } from "../generate/generate";

/** Loads what takes the place of a backend that failed so. Throws GemletError, with the code of `failure` where nothing can. */
export type FallBack = (failure: GemletError, signal: AbortSignal) => Promise<Backend>;

export class BackendSlot implements Backends {
  private replacement: Promise<Backend> | undefined;
  private readonly unloaded = new AbortController();

  /** `fallBack`: null where nothing can take the backend's place. `onChange` is called when something has. */
  constructor(
    private backend: Backend,
    private readonly fallBack: FallBack | null,
    private readonly onChange: (backend: Backend) => void,
  ) {}

  async current(): Promise<Backend> {
    return this.replacement ?? this.backend;
  }

  /** Goes on where a request that asked for it is aborted: the next one needs it too. */
  async replace(failed: Backend, cause: unknown): Promise<Backend> {
    if (!isBackendFailure(cause)) throw cause;
    if (!this.fallBack) throw new GemletError(cause.code, `${cause.message}; load the model again`);
    this.replacement ??= this.load(failed, this.fallBack, cause).finally(() => (this.replacement = undefined));
    return this.replacement;
  }

  async unload(): Promise<void> {
    this.unloaded.abort();
    await this.backend.unload();
  }

  private async load(failed: Backend, fallBack: FallBack, cause: GemletError): Promise<Backend> {
    await failed.unload();
    const backend = await fallBack(cause, this.unloaded.signal);
    this.backend = backend;
    this.onChange(backend);
    return backend;
  }
}
