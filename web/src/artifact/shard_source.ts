/** Where shards come from: the browser's store, else the network. Each is checked against its SHA-256 before a byte of it is used. */

import { GemletError } from "../errors";
import { addressIn } from "./addresses";
import { fetchError, type Filled, readInto } from "./fetching";
import { sha256 } from "./hash";
import { withLock } from "./locks";
import type { Shard } from "./manifest";
import { requestFrom } from "./ranges";
import type { ShardPart, ShardStore } from "./store";

type Bytes = Uint8Array<ArrayBuffer>;

export class ShardSource {
  /** Bytes that have come so far, those of damaged shards too. */
  readonly counts = { network: 0, stored: 0 };
  private turn: Promise<unknown> = Promise.resolve();

  /**
   * `folder`: the artifact's address, as `folderAddress` gives it. `store`: null where the browser keeps nothing. `refusal`: why no more is kept; null where it is.
   * `makeRoom` is called where the storage turns out to be full; whether it may have room now. `onBytes` is told how many bytes more of the model are there, which is below 0 where a shard was damaged.
   */
  constructor(
    private readonly folder: string,
    private readonly store: ShardStore | null,
    public refusal: string | null,
    private readonly makeRoom: () => Promise<boolean>,
    private readonly onBytes: (count: number) => void,
  ) {}

  /**
   * Brings the shard to the front of `memory`, which is longer than it; resolves with that memory, since the object passed may be detached. Another tab that
   * loads the same shard waits, and reads the store then. A damaged shard is fetched once more before it is an error.
   * Throws GemletError "bad-artifact" for a shard with another length or hash, "network" or "aborted".
   */
  async load(memory: ArrayBuffer, shard: Shard, signal: AbortSignal): Promise<ArrayBuffer> {
    const { store } = this;
    if (!store) return this.fromNetwork(memory, shard, signal);
    const load = async (): Promise<ArrayBuffer> => {
      const stored = await store.read(shard, memory).catch(() => null);
      if (!stored) return this.fromNetwork(memory, shard, signal);
      if ((await this.problem(stored, shard)) === null) {
        this.count("stored", shard.bytes);
        return stored.memory;
      }
      await store.remove(shard.sha256).catch(() => undefined); // a new one takes its place, or is not kept
      return this.fromNetwork(stored.memory, shard, signal);
    };
    return withLock(`gemlet-shard-${shard.sha256}`, load, signal);
  }

  /** Runs one such work at a time: `digest` copies its input, and so does what takes the bytes; two copies more would be too much memory. */
  oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  private async fromNetwork(memory: ArrayBuffer, shard: Shard, signal: AbortSignal): Promise<ArrayBuffer> {
    // What the store keeps needs no second copy in the HTTP cache; what that gave damaged is asked for anew.
    const attempts: RequestCache[] = this.store ? ["no-store", "no-store"] : ["default", "reload"];
    let problem: GemletError | null = null;
    for (const cache of attempts) {
      const part = await this.begin(shard);
      const filled = await this.download(memory, shard, part, cache, signal);
      memory = filled.memory;
      problem = await this.problem(filled, shard);
      if (problem === null) {
        if (part) await this.keep(part, shard, new Uint8Array(memory, 0, shard.bytes));
        return memory;
      }
      this.onBytes(-filled.length);
      await part?.discard();
    }
    throw problem!;
  }

  private async download(memory: ArrayBuffer, shard: Shard, part: ShardPart | null, cache: RequestCache, signal: AbortSignal): Promise<Filled> {
    const url = addressIn(this.folder, shard.file);
    try {
      if (part?.bytes === shard.bytes) return this.resume(part, memory);
      const { response, at, etag } = await requestFrom(url, part?.bytes ?? 0, part?.etag ?? null, cache, signal);
      if (part && at > 0) this.resume(part, memory);
      else await part?.restart(etag);
      const onPart = (bytes: Bytes, start: number): void => {
        part?.append(bytes, start);
        this.count("network", bytes.length);
      };
      return await readInto(memory, at, response, shard.bytes, onPart).catch((cause) => {
        throw fetchError(url, cause, signal);
      });
    } catch (error) {
      part?.close();
      throw error;
    }
  }

  private resume(part: ShardPart, memory: ArrayBuffer): Filled {
    part.read(new Uint8Array(memory, 0, part.bytes));
    this.count("stored", part.bytes);
    return { memory, length: part.bytes };
  }

  /** Null where the shard is not to be kept. */
  private async begin(shard: Shard): Promise<ShardPart | null> {
    if (!this.store || this.refusal !== null) return null;
    try {
      return await this.store.begin(shard);
    } catch (cause) {
      this.refuse(cause);
      return null;
    }
  }

  private async keep(part: ShardPart, shard: Shard, bytes: Bytes): Promise<void> {
    try {
      await this.oneAtATime(() => part.finish(bytes));
    } catch (cause) {
      await part.discard();
      const again = (cause as Error).name === "QuotaExceededError" && (await this.makeRoom()) ? await this.begin(shard) : null;
      if (again) await this.keepWhole(again, bytes);
      else this.refuse(cause);
    }
  }

  private async keepWhole(part: ShardPart, bytes: Bytes): Promise<void> {
    await part.restart(null);
    part.append(bytes, 0);
    try {
      await this.oneAtATime(() => part.finish(bytes));
    } catch (cause) {
      await part.discard();
      this.refuse(cause);
    }
  }

  private refuse(cause: unknown): void {
    this.refusal ??= `the browser's storage refused to keep more: ${(cause as Error).message}`;
  }

  private count(from: "network" | "stored", bytes: number): void {
    this.counts[from] += bytes;
    this.onBytes(bytes);
  }

  /** What is wrong with a shard; null: nothing. */
  private async problem({ memory, length }: Filled, { file, bytes, sha256: expected }: Shard): Promise<GemletError | null> {
    const bad = (what: string): GemletError => new GemletError("bad-artifact", `${addressIn(this.folder, file)}: ${what}`);
    if (length > bytes) return bad(`the file is longer than the ${bytes} bytes that the manifest states`);
    if (length < bytes) return bad(`the file has ${length} bytes, the manifest states ${bytes}; load again or upload it again`);
    const found = await this.oneAtATime(() => sha256(new Uint8Array(memory, 0, bytes)));
    return found === expected ? null : bad(`the shard is damaged: expected SHA-256 ${expected}, found ${found}; load again or upload it again`);
  }
}
