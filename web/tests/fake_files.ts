/** The little of a browser's private files (OPFS) that the store of shards needs, in plain memory, with the locks of real ones; and locks between tabs. */

export class FakeFiles {
  readonly files = new Map<string, Uint8Array>();
  /** Open handles by file: a number of readers, or the writer. */
  readonly open = new Map<string, number | "writer">();
  /** Bytes that there is room for. */
  quota = Infinity;
  /** What each write, counted from 0, throws, or "half": it writes half of its bytes. */
  failures = new Map<number, Error | "half">();
  /** By name, who holds a lock, and all that wait for it. */
  private readonly locks = new Map<string, Promise<unknown>>();
  private writes = 0;

  /** What to put in the place of `navigator`. */
  get navigator(): object {
    const root = { getDirectoryHandle: async () => this };
    const storage = { getDirectory: async () => root, estimate: async () => ({ quota: this.quota, usage: this.used() }) };
    return { storage, locks: { request: this.request.bind(this) } };
  }

  /** As `navigator.locks.request`. */
  private async request(name: string, { signal }: { signal?: AbortSignal }, work: () => Promise<unknown>): Promise<unknown> {
    const before = this.locks.get(name) ?? Promise.resolve();
    const aborted = new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    signal?.throwIfAborted();
    const result = Promise.race([before, aborted]).then(work);
    this.locks.set(name, Promise.all([before, result.catch(() => undefined)]));
    return result;
  }

  async *entries() {
    for (const name of [...this.files.keys()]) yield [name, await this.getFileHandle(name)] as const;
  }

  async getFileHandle(name: string, { create = false } = {}) {
    if (!this.files.has(name)) {
      if (!create) throw new DOMException("there is no such file", "NotFoundError");
      this.files.set(name, new Uint8Array());
    }
    return {
      getFile: async () => new File([this.files.get(name)! as Uint8Array<ArrayBuffer>], name),
      createSyncAccessHandle: async ({ mode }: { mode: string }) => this.handle(name, mode),
      move: async (to: string) => {
        this.lock(name, "readwrite");
        this.open.delete(name);
        this.files.set(to, this.files.get(name)!);
        this.files.delete(name);
      },
    };
  }

  async removeEntry(name: string): Promise<void> {
    if (this.open.has(name)) throw new DOMException("it is open", "NoModificationAllowedError");
    this.files.delete(name);
  }

  private handle(name: string, mode: string) {
    this.lock(name, mode);
    const bytes = () => this.files.get(name)!;
    return {
      getSize: () => bytes().length,
      truncate: (size: number) => void this.files.set(name, bytes().slice(0, size)),
      flush: () => undefined,
      read: (into: Uint8Array, { at }: { at: number }) => {
        const found = bytes().subarray(at, at + into.length);
        into.set(found);
        return found.length;
      },
      write: (from: Uint8Array, { at }: { at: number }) => {
        const failure = this.failures.get(this.writes++);
        if (failure instanceof Error) throw failure;
        const taken = from.subarray(0, failure === "half" ? from.length >> 1 : from.length);
        if (this.used() + taken.length > this.quota) throw new DOMException("no room", "QuotaExceededError");
        const whole = new Uint8Array(Math.max(bytes().length, at + taken.length));
        whole.set(bytes());
        whole.set(taken, at);
        this.files.set(name, whole);
        return taken.length;
      },
      close: () => {
        const readers = this.open.get(name);
        if (typeof readers === "number" && readers > 1) this.open.set(name, readers - 1);
        else this.open.delete(name);
      },
    };
  }

  private lock(name: string, mode: string): void {
    const held = this.open.get(name);
    if (held === "writer" || (held !== undefined && mode !== "read-only")) throw new DOMException("it is in use", "NoModificationAllowedError");
    this.open.set(name, mode === "read-only" ? (held ?? 0) + 1 : "writer");
  }

  private used(): number {
    return [...this.files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  }
}

/** The class whose methods say what a browser offers. */
export class FakeFileHandle {
  createSyncAccessHandle(): void {}
  move(): void {}
}
