/** Whole shards in the browser's private file system (OPFS): checked bytes, each in a file that is named by its SHA-256. */

import { GemletError } from "../errors";
import type { Shard } from "./manifest";
import { type FileHandle, openPrivateFolder, type SyncAccessHandle } from "./private_files";

const FOLDER = "gemlet-shards";

export class ShardStore {
  private constructor(private readonly folder: FileSystemDirectoryHandle) {}

  /** Throws GemletError "storage" where this browser, or this thread of it, has no such file system. */
  static async open(): Promise<ShardStore> {
    return new ShardStore(await openPrivateFolder(FOLDER));
  }

  /** The shard, opened to be read; null where it is not there whole. Throws GemletError "storage" where another tab holds it. */
  async find(shard: Shard): Promise<StoredShard | null> {
    let file: FileHandle;
    try {
      file = (await this.folder.getFileHandle(shard.sha256)) as unknown as FileHandle;
    } catch (cause) {
      if ((cause as Error).name === "NotFoundError") return null;
      throw refused(shard, cause);
    }
    // Browsers that do not know the mode open it for this tab alone.
    const handle = await file.createSyncAccessHandle({ mode: "read-only" }).catch((cause) => {
      throw refused(shard, cause);
    });
    if (handle.getSize() === shard.bytes) return new StoredShard(shard, handle);
    handle.close();
    return null;
  }

  /**
   * Keeps the shard's bytes, which the caller has checked, and opens it. Only a complete file gets its name, so that what an
   * interruption leaves is never taken for a shard. `total`: bytes of all shards that are to be kept, for the message.
   * Throws GemletError "storage": no room, or another tab is storing it.
   */
  async put(shard: Shard, bytes: Uint8Array<ArrayBuffer>, total: number): Promise<StoredShard> {
    const part = `${shard.sha256}.part`;
    try {
      const file = (await this.folder.getFileHandle(part, { create: true })) as unknown as FileHandle;
      const handle = await file.createSyncAccessHandle({ mode: "readwrite" });
      try {
        handle.truncate(0);
        const written = handle.write(bytes, { at: 0 });
        if (written !== shard.bytes) throw new DOMException(`${written} of ${shard.bytes} bytes were written`, "QuotaExceededError");
        handle.flush();
      } finally {
        handle.close();
      }
      await file.move(shard.sha256);
    } catch (cause) {
      // Whoever else holds it is writing it.
      if (!isLock(cause)) await this.folder.removeEntry(part).catch(() => undefined);
      throw isFull(cause) ? await full(total) : refused(shard, cause);
    }
    return (await this.find(shard))!;
  }
}

/** An open shard. It stays open, since opening one takes longer than reading a row of it. */
export class StoredShard {
  constructor(
    private readonly shard: Shard,
    private readonly handle: SyncAccessHandle,
  ) {}

  /** Fills `into` from byte `at` on. Throws GemletError "storage" where the file ends before. */
  read(into: Uint8Array<ArrayBuffer>, at: number): void {
    const count = this.handle.read(into, { at });
    if (count === into.length) return;
    const found = `expected ${into.length} bytes at ${at}, found ${count}`;
    throw new GemletError("storage", `the stored shard ${this.shard.file} was cut short: ${found}; load the model again`);
  }

  close(): void {
    this.handle.close();
  }
}

function isLock(cause: unknown): boolean {
  return (cause as Error).name === "NoModificationAllowedError";
}

function isFull(cause: unknown): boolean {
  return (cause as Error).name === "QuotaExceededError";
}

async function full(total: number): Promise<GemletError> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate();
  const room = `per-layer embeddings take ${mebibytes(total)}, and the browser gives this site ${mebibytes(quota)}, of which ${mebibytes(usage)} are in use`;
  return new GemletError("storage", `no room in the browser's storage: ${room}. Make room on the disk, or load with perLayerEmbeddings "gpu"`);
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

function refused(shard: Shard, cause: unknown): GemletError {
  if (isLock(cause)) {
    return new GemletError("storage", `another tab holds the stored shard ${shard.file}; close that tab, or wait until it has loaded, and load again`);
  }
  const advice = 'load again, or with perLayerEmbeddings "gpu"';
  return new GemletError("storage", `the browser's storage refused the shard ${shard.file}: ${(cause as Error).message}; ${advice}`);
}
