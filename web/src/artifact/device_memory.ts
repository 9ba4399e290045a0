/** What was found out about a model on this device, kept in the browser's private files so that the next load need not ask again. */

import { GemletError } from "../errors";
import { anything, isOf, type Rule } from "./check_shape";
import { sha256 } from "./hash";
import { type FileHandle, openPrivateFolder } from "./private_files";

const FOLDER = "gemlet-device";

/** Which variants of kernels are fastest, and whether the model's known answer came out. */
export type Kind = "tuning" | "known-answer";

interface Content<T> {
  subject: string;
  found: T;
}

/**
 * One model on one device. It forgets what was found about another `subject`: the text of all that the outcome depends on, as the manifest.
 * Nothing here fails: where the browser keeps no files, or another tab has them open, nothing is remembered.
 */
export class DeviceMemory<T> {
  private constructor(
    private readonly file: string,
    private readonly subject: string,
    private readonly shape: Rule,
  ) {}

  /** `shape`: of what is remembered; what is of another, since a file was damaged, is forgotten. */
  static async of<T>(kind: Kind, device: string, model: string, subject: string, shape: Rule = anything): Promise<DeviceMemory<T>> {
    return new DeviceMemory<T>(`${await hash(JSON.stringify([kind, device, model]))}.json`, await hash(subject), shape);
  }

  async recall(): Promise<T | null> {
    const text = await this.withFile(false, (handle) => {
      const bytes = new Uint8Array(handle.getSize());
      handle.read(bytes, { at: 0 });
      return new TextDecoder().decode(bytes);
    });
    try {
      const { subject, found } = JSON.parse(text ?? "null") as Content<T>;
      return subject === this.subject && isOf(this.shape, found) ? found : null;
    } catch {
      return null; // there is none, or it was cut short
    }
  }

  async keep(found: T): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify({ subject: this.subject, found } satisfies Content<T>));
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
