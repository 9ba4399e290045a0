/** Loads of two shards from a fake host, into fake stores that are new for each test of the file that imports this. */

import { afterEach, beforeEach, expect, vi } from "vitest";
import type { Shard } from "../src/artifact/manifest";
import { ShardSource } from "../src/artifact/shard_source";
import { openStore } from "../src/artifact/store";
import { FakeCaches } from "./fake_caches";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { FakeHost, FOLDER, ORIGIN } from "./fake_host";
import { makeArtifact } from "./fixture";

export const artifact = await makeArtifact("the weights of a recital, in two shards");
export const { shards } = artifact.manifest;
export const [shard, other] = shards as [Shard, Shard];
export const content = artifact.files.get(shard.file) as Uint8Array<ArrayBuffer>;
export const part = `${shard.sha256}.part`;
export const HALF = 20;

export let files: FakeFiles;
export let caches: FakeCaches;
export let host: FakeHost;

beforeEach(() => {
  files = new FakeFiles();
  caches = new FakeCaches();
  host = new FakeHost(artifact.files);
  vi.stubGlobal("navigator", files.navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
  vi.stubGlobal("caches", caches);
  vi.stubGlobal("fetch", host.fetch);
  vi.stubGlobal("location", { origin: ORIGIN });
});
afterEach(() => vi.unstubAllGlobals());

/** Loads shards one after the other, as a tab does; gives their bytes and what came from where. */
export async function load({ which = [shard], refusal = null as string | null, signal = new AbortController().signal, makeRoom = async () => false } = {}) {
  let counted = 0;
  const source = new ShardSource(FOLDER, await openStore(), refusal, makeRoom, (count) => (counted += count));
  const size = Math.max(...which.map(({ bytes }) => bytes)) + 1;
  const loaded: number[][] = [];
  for (const each of which) loaded.push([...new Uint8Array(await source.load(new ArrayBuffer(size), each, signal), 0, each.bytes)]);
  return { loaded, counts: source.counts, counted, refusal: source.refusal };
}

export async function breakOff(): Promise<void> {
  host.breaks.set(shard.file, HALF);
  await expect(load()).rejects.toMatchObject({ code: "network", message: expect.stringContaining(shard.file) });
  host.breaks.clear();
  host.asked = [];
}

export const flip = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => (bytes[3]! ^= 1, bytes);
export const whole = { loaded: [[...content]], counted: shard.bytes };
