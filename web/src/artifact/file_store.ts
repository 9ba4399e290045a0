/** Shards in the browser's private files (OPFS), each in a file that is named by its SHA-256; `.part` is added while it is not whole. */

import { GemletError } from "../errors";
import type { Filled } from "./fetching";
import type { Shard } from "./manifest";
import { PartFile } from "./part_file";
import { type FileHandle, findPrivateFolder, openPrivateFolder, type SyncAccessHandle } from "./private_files";
import type { ShardPart, ShardStore } from "./store";

const FOLDER = "gemlet-shards";
const HASH_DIGITS = 64;

export class FileStore implements ShardStore {
  readonly place = "files";

  private constructor(private readonly folder: FileSystemDirectoryHandle) {}

  /** Throws GemletError "storage" where this browser, or this thread of it, has no such file system. */
  static async open(): Promise<FileStore> {
    return new FileStore(await openPrivateFolder(FOLDER));
  }

  /** The store as `sizes` and `remove` need it; null where there is none. */
  static async find(): Promise<FileStore | null> {
    return findPrivateFolder(FOLDER).then((folder) => folder && new FileStore(folder));
  }

  async sizes(): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for await (const [name, entry] of this.folder.entries()) {
      const file = await (entry as FileSystemFileHandle).getFile().catch(() => null); // another tab has just removed or renamed it
      const sha256 = name.slice(0, HASH_DIGITS);
      if (file) sizes.set(sha256, (sizes.get(sha256) ?? 0) + (PartFile.isTag(name) ? 0 : file.size));
    }
    return sizes;
  }

  async read(shard: Shard, memory: ArrayBuffer): Promise<Filled | null> {
    let handle: SyncAccessHandle;
    try {
      handle = await this.handle(shard);
    } catch {
      return null; // not there, or another tab has it open alone
    }
    try {
      return { memory, length: handle.read(new Uint8Array(memory, 0, shard.bytes + 1), { at: 0 }) };
    } finally {
      handle.close();
    }
  }

  begin(shard: Shard): Promise<ShardPart> {
    return PartFile.open(this.folder, shard);
  }

  async remove(sha256: string): Promise<void> {
    await this.folder.removeEntry(sha256).catch(() => undefined);
    await PartFile.remove(this.folder, sha256);
  }

  /** Opens the shard, which has been checked, for as long as rows are read. Throws GemletError "storage". */
  async open(shard: Shard): Promise<StoredShard> {
    try {
      return new StoredShard(shard, await this.handle(shard));
    } catch (cause) {
      const { name, message } = cause as Error;
      if (name === "NoModificationAllowedError") {
        const advice = "close that tab, or wait until it has loaded, and load again";
        throw new GemletError("storage", `another tab holds the stored shard ${shard.file}; ${advice}`);
      }
      const advice = 'load again, or with perLayerEmbeddings "gpu"';
      throw new GemletError("storage", `the browser's storage did not give the shard ${shard.file}: ${message}; ${advice}`);
    }
  }

  private async handle(shard: Shard): Promise<SyncAccessHandle> {
    const file = (await this.folder.getFileHandle(shard.sha256)) as unknown as FileHandle;
    // Browsers that do not know the mode open it for this tab alone.
    return file.createSyncAccessHandle({ mode: "read-only" });
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
