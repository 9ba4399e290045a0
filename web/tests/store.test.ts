import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Manifest } from "../src/artifact/manifest";
import { loadShards } from "../src/artifact/shards";
import { ShardStore } from "../src/artifact/store";
import { StoredRows } from "../src/artifact/stored_rows";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { type Artifact, makeArtifact, withTable } from "./fixture";

const FOLDER = "http://site.test/models/recital/";
const plain = await makeArtifact("abc");
let files: FakeFiles;
let fetched: string[];

beforeEach(() => {
  files = new FakeFiles();
  fetched = [];
  vi.stubGlobal("navigator", files.navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
});
afterEach(() => vi.unstubAllGlobals());

/** Loads with the table in storage; gives its rows, and what was written elsewhere. */
async function load({ manifest, files: content }: Artifact, change: (bytes: Uint8Array<ArrayBuffer>, file: string) => void = () => undefined) {
  vi.stubGlobal("fetch", async (url: string) => {
    const file = url.slice(FOLDER.length);
    fetched.push(file);
    const bytes = (content.get(file) as Uint8Array<ArrayBuffer>).slice();
    change(bytes, file);
    return new Response(bytes);
  });
  const stored = new StoredRows(manifest, await ShardStore.open());
  const written = new Map<number, Uint8Array>(manifest.buffers.map(({ bytes }, index) => [index, new Uint8Array(bytes)]));
  const write = (buffer: number, offset: number, bytes: Uint8Array): void => written.get(buffer)!.set(bytes, offset);
  const sink = { weights: manifest.weights, write, flush: async () => undefined, stored };
  let counted = 0;
  await loadShards(manifest, FOLDER, sink, (count) => (counted += count));
  return { stored, written, counted };
}

function rowsOf(manifest: Manifest, stored: StoredRows, buffer: number): number[][] {
  const { rows } = manifest.tables[0]!;
  const rowBytes = manifest.buffers[buffer]!.bytes / rows;
  return Array.from({ length: rows }, (_, row) => {
    const bytes = new Uint8Array(rowBytes);
    stored.read(buffer, row * rowBytes, bytes);
    return [...bytes];
  });
}

describe("a stored table", () => {
  test("has every row, also those that lie in two shards or three, and leaves other weights to the sink", async () => {
    const artifact = await withTable(plain);
    const { manifest, table } = artifact;
    const { stored, written, counted } = await load(artifact);
    for (const [buffer, rows] of table) expect(rowsOf(manifest, stored, buffer)).toEqual(rows);
    for (const buffer of manifest.tables[0]!.buffers) expect([...written.get(buffer)!].every((byte) => byte === 0)).toBe(true);
    expect([...written.get(2)!]).toEqual(artifact.script);
    expect(counted).toBe(manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test("is downloaded once: its shards, checked, in files named by their hashes", async () => {
    const artifact = await withTable(plain);
    (await load(artifact)).stored.close();
    const kept = artifact.manifest.shards.slice(1); // the first has nothing of the table
    expect([...files.files.keys()].sort()).toEqual(kept.map(({ sha256 }) => sha256).sort());
    fetched = [];
    const { stored, written, counted } = await load(artifact);
    expect(fetched).toEqual([artifact.manifest.shards[0]!.file]);
    expect(counted).toBe(artifact.manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0));
    for (const [buffer, rows] of artifact.table) expect(rowsOf(artifact.manifest, stored, buffer)).toEqual(rows);
    expect([...written.get(2)!], "what shares a shard with the table").toEqual(artifact.script);
  });

  test("keeps nothing of a damaged shard", async () => {
    const artifact = await withTable(plain);
    const damaged = artifact.manifest.shards[2]!;
    const loading = load(artifact, (bytes, file) => file === damaged.file && (bytes[3]! ^= 1));
    await expect(loading).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining(damaged.file) });
    expect([...files.files.keys()].filter((name) => name.startsWith(damaged.sha256))).toEqual([]);
  });

  test("takes an interrupted file for none, and writes it anew", async () => {
    const artifact = await withTable(plain);
    const { sha256 } = artifact.manifest.shards[1]!;
    files.files.set(`${sha256}.part`, new Uint8Array(1000).fill(7));
    files.files.set(artifact.manifest.shards[2]!.sha256, new Uint8Array(3)); // cut short after it was whole
    const { stored } = await load(artifact);
    expect(fetched.length).toBe(artifact.manifest.shards.length);
    expect(files.files.has(`${sha256}.part`)).toBe(false);
    for (const [buffer, rows] of artifact.table) expect(rowsOf(artifact.manifest, stored, buffer)).toEqual(rows);
  });

  test("keeps its files open until it is closed", async () => {
    const artifact = await withTable(plain);
    const { stored } = await load(artifact);
    expect(files.open.size).toBe(artifact.manifest.shards.length - 1);
    stored.close();
    expect(files.open.size).toBe(0);
  });

  test("is read by two tabs at once", async () => {
    const artifact = await withTable(plain);
    const { stored: first } = await load(artifact);
    const { stored: second } = await load(artifact);
    first.close();
    for (const [buffer, rows] of artifact.table) expect(rowsOf(artifact.manifest, second, buffer)).toEqual(rows);
  });

  test("names the shard that ends before a row", async () => {
    const artifact = await withTable(plain);
    const { stored } = await load(artifact);
    const { sha256, file } = artifact.manifest.shards[2]!;
    files.files.set(sha256, new Uint8Array());
    const buffer = artifact.manifest.tables[0]!.buffers[0]!;
    expect(() => rowsOf(artifact.manifest, stored, buffer)).toThrow(`the stored shard ${file} was cut short`);
  });
});

describe("the store", () => {
  const shard = plain.manifest.shards[0]!;
  const bytes = plain.files.get(shard.file) as Uint8Array<ArrayBuffer>;

  test.each([["throws", new DOMException("no room", "QuotaExceededError")], ["writes less", "half" as const]])(
    "says how much is needed where the browser has no room and %s, and leaves no file",
    async (_, failure) => {
      files.failures.set(0, failure);
      files.quota = 5 * 2 ** 20;
      const storing = (await ShardStore.open()).put(shard, bytes, 1200 * 2 ** 20);
      await expect(storing).rejects.toMatchObject({
        code: "storage",
        message: expect.stringMatching(/per-layer embeddings take 1200 MiB.* gives this site 5 MiB.*perLayerEmbeddings "gpu"/),
      });
      expect([files.files.size, files.open.size]).toEqual([0, 0]);
    },
  );

  test("passes another failure on by the shard's name, and leaves no file", async () => {
    files.failures.set(0, new Error("the disk is on fire"));
    await expect((await ShardStore.open()).put(shard, bytes, 1)).rejects.toThrow(`refused the shard ${shard.file}: the disk is on fire`);
    expect([files.files.size, files.open.size]).toEqual([0, 0]);
  });

  test("says that another tab holds a file, and leaves that alone", async () => {
    const store = await ShardStore.open();
    files.files.set(`${shard.sha256}.part`, new Uint8Array(4));
    files.open.set(`${shard.sha256}.part`, "writer");
    await expect(store.put(shard, bytes, 1)).rejects.toMatchObject({ code: "storage", message: expect.stringContaining("another tab holds") });
    expect(files.files.has(`${shard.sha256}.part`)).toBe(true);
    files.files.set(shard.sha256, bytes);
    files.open.set(shard.sha256, "writer");
    await expect(store.find(shard)).rejects.toMatchObject({ code: "storage", message: expect.stringContaining(shard.file) });
  });

  test.each<[string, () => void]>([
    ["the browser has no such files", () => vi.stubGlobal("navigator", {})],
    ["this thread may not open them", () => vi.stubGlobal("FileSystemFileHandle", class {})],
    ["the browser forbids them", () => vi.stubGlobal("navigator", { storage: { getDirectory: () => Promise.reject(new Error("forbidden")) } })],
  ])("is refused where %s", async (_, change) => {
    change();
    await expect(ShardStore.open()).rejects.toMatchObject({ code: "storage", message: expect.stringMatching(/OPFS|private files/) });
  });
});
