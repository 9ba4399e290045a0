/** Tables whose rows are read out of stored shards. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FileStore } from "../src/artifact/file_store";
import type { Manifest } from "../src/artifact/manifest";
import { ShardSource } from "../src/artifact/shard_source";
import { loadShards } from "../src/artifact/shards";
import { openStore } from "../src/artifact/store";
import { StoredRows } from "../src/artifact/stored_rows";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { FakeHost, FOLDER } from "./fake_host";
import { makeArtifact, withTable } from "./fixture";

const artifact = await withTable(await makeArtifact("abc"));
const { manifest, table, script } = artifact;
const whole = manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0);
let files: FakeFiles;
let host: FakeHost;

beforeEach(() => {
  files = new FakeFiles();
  host = new FakeHost(artifact.files);
  vi.stubGlobal("navigator", files.navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
  vi.stubGlobal("fetch", host.fetch);
});
afterEach(() => vi.unstubAllGlobals());

/** Loads with the table in storage; gives its rows, and what was written elsewhere. */
async function load(refusal: string | null = null) {
  const stored = new StoredRows(manifest, await FileStore.open());
  const written = new Map<number, Uint8Array>(manifest.buffers.map(({ bytes }, index) => [index, new Uint8Array(bytes)]));
  const write = (buffer: number, offset: number, bytes: Uint8Array): void => written.get(buffer)!.set(bytes, offset);
  let counted = 0;
  const source = new ShardSource(FOLDER, await openStore(), refusal, async () => false, (count) => (counted += count));
  await loadShards(manifest, { weights: manifest.weights, write, flush: async () => undefined, stored }, source);
  return { stored, written, counted };
}

function rowsOf({ tables, buffers }: Manifest, stored: StoredRows, buffer: number): number[][] {
  const { rows } = tables[0]!;
  const rowBytes = buffers[buffer]!.bytes / rows;
  return Array.from({ length: rows }, (_, row) => {
    const bytes = new Uint8Array(rowBytes);
    stored.read(buffer, row * rowBytes, bytes);
    return [...bytes];
  });
}

describe("a stored table", () => {
  test("has every row, also those that lie in two shards or three, and leaves other weights to the sink", async () => {
    for (const requests of [manifest.shards.length, 0]) {
      host.asked = [];
      const { stored, written, counted } = await load();
      expect(host.asked.length).toBe(requests);
      for (const [buffer, rows] of table) expect(rowsOf(manifest, stored, buffer)).toEqual(rows);
      for (const buffer of manifest.tables[0]!.buffers) expect([...written.get(buffer)!].every((byte) => byte === 0)).toBe(true);
      expect([...written.get(2)!]).toEqual(script);
      expect(counted).toBe(whole);
    }
  });

  test("is fetched anew where a stored shard of it is damaged", async () => {
    (await load()).stored.close();
    const { sha256, file } = manifest.shards[2]!;
    files.files.get(sha256)![1]! ^= 4;
    host.asked = [];
    const { stored } = await load();
    expect(host.names).toEqual([file]);
    for (const [buffer, rows] of table) expect(rowsOf(manifest, stored, buffer)).toEqual(rows);
  });

  test("keeps its files open until it is closed", async () => {
    const { stored } = await load();
    expect(files.open.size).toBe(manifest.shards.length - 1); // the first has nothing of the table
    stored.close();
    expect(files.open.size).toBe(0);
  });

  test("is read by two tabs at once", async () => {
    const { stored: first } = await load();
    const { stored: second } = await load();
    first.close();
    for (const [buffer, rows] of table) expect(rowsOf(manifest, second, buffer)).toEqual(rows);
  });

  test("names the shard that ends before a row", async () => {
    const { stored } = await load();
    const { sha256, file } = manifest.shards[2]!;
    files.files.set(sha256, new Uint8Array());
    const buffer = manifest.tables[0]!.buffers[0]!;
    expect(() => rowsOf(manifest, stored, buffer)).toThrow(`the stored shard ${file} was cut short`);
  });

  test("is an error where the browser keeps no more, and says why", async () => {
    await expect(load("the disk is full")).rejects.toMatchObject({ code: "storage", message: expect.stringMatching(/^per-layer embeddings take 1 MiB .*, but the disk is full\. Make room/) });
  });

  test("says that another tab holds a shard", async () => {
    (await load()).stored.close();
    const { sha256, file } = manifest.shards[2]!;
    files.open.set(sha256, "writer");
    await expect(load()).rejects.toMatchObject({ code: "storage", message: expect.stringContaining(`another tab holds the stored shard ${file}`) });
  });
});
