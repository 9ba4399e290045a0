/** The browser's private file system (OPFS), as far as TypeScript's types of a page lack it: writing is offered to dedicated workers alone. */

import { GemletError } from "../errors";

export interface SyncAccessHandle {
  getSize(): number;
  read(into: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** `move` stands in no standard yet. */
export interface FileHandle {
  createSyncAccessHandle(options: { mode: "read-only" | "readwrite" }): Promise<SyncAccessHandle>;
  getFile(): Promise<File>;
  move(name: string): Promise<void>;
}

/** The folder of that name, to write to, made where it is not there. Throws GemletError "storage" where this browser, or this thread of it, has no such files. */
export async function openPrivateFolder(name: string): Promise<FileSystemDirectoryHandle> {
  const methods = globalThis.FileSystemFileHandle?.prototype as Partial<FileHandle> | undefined;
  if (!globalThis.navigator.storage?.getDirectory || !methods?.createSyncAccessHandle || !methods.move) {
    throw new GemletError("storage", "this browser offers workers no files of their own (OPFS); Chrome, Edge, Safari and Firefox of 2023 or newer do");
  }
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(name, { create: true });
  } catch (cause) {
    throw new GemletError("storage", `the browser does not open its private files: ${(cause as Error).message}. A private window may forbid them`);
  }
}

/** The folder of that name, to look at and to remove files from, in a page too; null where there is none. */
export async function findPrivateFolder(name: string): Promise<FileSystemDirectoryHandle | null> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(name);
  } catch {
    return null;
  }
}
