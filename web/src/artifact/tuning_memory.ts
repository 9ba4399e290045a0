/** What was found out about kernels on this device, kept in the browser's private files so that the next load need not ask again. */

import { GemletError } from "../errors";
import { sha256 } from "./hash";
import { type FileHandle, openPrivateFolder } from "./private_files";

const FOLDER = "gemlet-tuning";

/** Name of the winner by name of the kernel; a kernel that won over its variants has its own. */
export type Winners = Record<string, string>;

interface Content {
  subject: string;
  winners: Winners;
}

/**
 * One model on one device. It forgets what was found about another `subject`: the text of all that the outcome depends on, as the manifest.
 * Nothing here fails: where the browser keeps no files, or another tab has them open, nothing is remembered.
 */
export class TuningMemory {
  private constructor(
    private readonly file: string,
    private readonly subject: string,
  ) {}

  static async of(device: string, model: string, subject: string): Promise<TuningMemory> {
    return new TuningMemory(`${await hash(JSON.stringify([device, model]))}.json`, await hash(subject));
  }

  async recall(): Promise<Winners | null> {
    const text = await this.withFile(false, (handle) => {
      const bytes = new Uint8Array(handle.getSize());
      handle.read(bytes, { at: 0 });
      return new TextDecoder().decode(bytes);
    });
    try {
      const { subject, winners } = JSON.parse(text ?? "null") as Content;
      return subject === this.subject ? winners : null;
    } catch {
      return null; // there is none, or it was cut short
    }
  }

  async keep(winners: Winners): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify({ subject: this.subject, winners } satisfies Content));
    await this.withFile(true, (handle) => {
      handle.truncate(0);
      handle.write(bytes, { at: 0 });
      handle.flush();
    });
  }

  private async withFile<T>(create: boolean, work: (handle: Awaited<ReturnType<FileHandle["createSyncAccessHandle"]>>) => T): Promise<T | undefined> {
    try {
      const folder = await openPrivateFolder(FOLDER);
      const file = (await folder.getFileHandle(this.file, { create })) as unknown as FileHandle;
      const handle = await file.createSyncAccessHandle({ mode: create ? "readwrite" : "read-only" });
      try {
        return work(handle);
      } finally {
        handle.close();
      }
    } catch (cause) {
      if (cause instanceof GemletError || cause instanceof DOMException) return undefined;
      throw cause;
    }
  }
}

function hash(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}
