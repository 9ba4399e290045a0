/** A shard's file while it is not whole. It is written as the bytes arrive, so that a download goes on where it broke off. */

import type { Shard } from "./manifest";
import type { FileHandle, SyncAccessHandle } from "./private_files";
import type { ShardPart } from "./store";

const PART = ".part";
/** Beside it, the version (ETag) of the file that its bytes are from. */
const TAG = ".etag";
/** Milliseconds. A tab that has just ended may hold its file a moment longer than its lock. */
const LONGEST_WAIT = 2000;
const PAUSE = 100;

type Folder = FileSystemDirectoryHandle;

export class PartFile implements ShardPart {
  private failure: unknown = null;

  private constructor(
    private readonly folder: Folder,
    private readonly shard: Shard,
    private readonly file: FileHandle,
    private readonly handle: SyncAccessHandle,
    readonly bytes: number,
    readonly etag: string | null,
  ) {}

  /** Throws what the browser does. */
  static async open(folder: Folder, shard: Shard): Promise<PartFile> {
    const file = await fileOf(folder, shard.sha256 + PART);
    const handle = await openPatiently(file);
    // No download leaves more than the shard's bytes.
    const bytes = handle.getSize() <= shard.bytes ? handle.getSize() : 0;
    const tag = await folder.getFileHandle(shard.sha256 + TAG).then((found) => found.getFile().then((each) => each.text()), () => "");
    return new PartFile(folder, shard, file, handle, bytes, tag || null);
  }

  static isTag(name: string): boolean {
    return name.endsWith(TAG);
  }

  /** Removes what there is of a shard that is not whole, unless a tab has it open. */
  static async remove(folder: Folder, sha256: string): Promise<void> {
    for (const suffix of [PART, TAG]) await folder.removeEntry(sha256 + suffix).catch(() => undefined);
  }

  read(into: Uint8Array<ArrayBuffer>): void {
    this.handle.read(into, { at: 0 });
  }

  async restart(etag: string | null): Promise<void> {
    try {
      this.handle.truncate(0);
      const tag = await openPatiently(await fileOf(this.folder, this.shard.sha256 + TAG));
      try {
        tag.truncate(0);
        writeAll(tag, new TextEncoder().encode(etag ?? ""), 0);
      } finally {
        tag.close();
      }
    } catch (cause) {
      this.failure ??= cause;
    }
  }

  append(bytes: Uint8Array<ArrayBuffer>, at: number): void {
    if (this.failure) return;
    try {
      writeAll(this.handle, bytes, at);
    } catch (cause) {
      this.failure = cause;
    }
  }

  async finish(): Promise<void> {
    if (this.failure) throw this.failure;
    this.handle.flush();
    this.handle.close();
    // Only a whole file gets the shard's name.
    await this.file.move(this.shard.sha256);
    await PartFile.remove(this.folder, this.shard.sha256);
  }

  close(): void {
    this.handle.close();
  }

  async discard(): Promise<void> {
    this.handle.close();
    await PartFile.remove(this.folder, this.shard.sha256);
  }
}

async function fileOf(folder: Folder, name: string): Promise<FileHandle> {
  return (await folder.getFileHandle(name, { create: true })) as unknown as FileHandle;
}

async function openPatiently(file: FileHandle): Promise<SyncAccessHandle> {
  for (let waited = 0; ; waited += PAUSE) {
    try {
      return await file.createSyncAccessHandle({ mode: "readwrite" });
    } catch (cause) {
      if ((cause as Error).name !== "NoModificationAllowedError" || waited >= LONGEST_WAIT) throw cause;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** Where there is no more room, browsers may write less than asked for; what they say that they wrote is then no number to show. */
function writeAll(handle: SyncAccessHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  if (handle.write(bytes, { at }) !== bytes.length) throw new DOMException("it has no room left", "QuotaExceededError");
}
