/** Shards and the store: what is kept, gone on with, checked and freed. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FileStore } from "../src/artifact/file_store";
import type { Shard } from "../src/artifact/manifest";
import { ShardSource } from "../src/artifact/shard_source";
import { openStore } from "../src/artifact/store";
import { claimModel, deleteModel, storedModels } from "../src/artifact/stored_models";
import { FakeCaches } from "./fake_caches";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { FakeHost, FOLDER, ORIGIN } from "./fake_host";
import { makeArtifact } from "./fixture";

const artifact = await makeArtifact("the weights of a recital, in two shards");
const { shards } = artifact.manifest;
const [shard, other] = shards as [Shard, Shard];
const content = artifact.files.get(shard.file) as Uint8Array<ArrayBuffer>;
const part = `${shard.sha256}.part`;
const HALF = 20;

let files: FakeFiles;
let caches: FakeCaches;
let host: FakeHost;

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
async function load({ which = [shard], refusal = null as string | null, signal = new AbortController().signal, makeRoom = async () => false } = {}) {
  let counted = 0;
  const source = new ShardSource(FOLDER, await openStore(), refusal, makeRoom, (count) => (counted += count));
  const size = Math.max(...which.map(({ bytes }) => bytes)) + 1;
  const loaded: number[][] = [];
  for (const each of which) loaded.push([...new Uint8Array(await source.load(new ArrayBuffer(size), each, signal), 0, each.bytes)]);
  return { loaded, counts: source.counts, counted, refusal: source.refusal };
}

async function breakOff(): Promise<void> {
  host.breaks.set(shard.file, HALF);
  await expect(load()).rejects.toMatchObject({ code: "network", message: expect.stringContaining(shard.file) });
  host.breaks.clear();
  host.asked = [];
}

const flip = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => (bytes[3]! ^= 1, bytes);
const whole = { loaded: [[...content]], counted: shard.bytes };

describe("a shard", () => {
  test("is downloaded once, past the HTTP cache, into a file that is named by its hash", async () => {
    expect(await load()).toEqual({ ...whole, counts: { network: shard.bytes, stored: 0 }, refusal: null });
    expect([...files.files.keys()]).toEqual([shard.sha256]);
    expect(files.files.get(shard.sha256)).toEqual(content);
    expect(await load()).toEqual({ ...whole, counts: { network: 0, stored: shard.bytes }, refusal: null });
    expect(host.asked).toEqual([{ file: shard.file, range: null, ifRange: null, cache: "no-store" }]);
    expect(files.open.size).toBe(0);
  });

  test("goes on inside where its download broke off, if the file is the same version", async () => {
    await breakOff();
    expect(files.files.get(part)).toEqual(content.slice(0, HALF));
    expect(await load()).toEqual({ ...whole, counts: { network: shard.bytes - HALF, stored: HALF }, refusal: null });
    expect(host.asked).toEqual([{ file: shard.file, range: `bytes=${HALF}-`, ifRange: '"1"', cache: "no-store" }]);
    expect([...files.files.keys()]).toEqual([shard.sha256]);
  });

  test("can be interrupted over and over, and loses nothing", async () => {
    await breakOff();
    host.breaks.set(shard.file, 4);
    for (let at = HALF + 4; at <= HALF + 12; at += 4) {
      await expect(load()).rejects.toMatchObject({ code: "network" });
      expect(files.files.get(part)).toEqual(content.slice(0, at));
    }
    host.breaks.clear();
    expect((await load()).counts).toEqual({ network: shard.bytes - HALF - 12, stored: HALF + 12 });
  });

  test.each<[string, () => void, number]>([
    ["has another version now", () => (host.etag = '"2"'), 1],
    ["knows no ranges", () => (host.ranges = "ignored"), 1],
    ["does not allow them", () => (host.ranges = "refused"), 2],
  ])("begins anew where the host %s", async (_, change, requests) => {
    await breakOff();
    change();
    expect(await load()).toEqual({ ...whole, counts: { network: shard.bytes, stored: 0 }, refusal: null });
    expect(host.asked.length).toBe(requests);
  });

  test("begins anew where another answer than the rest that was asked for comes", async () => {
    await breakOff();
    const { fetch } = host;
    const shifted = (name: string, value: string | null): string | null => (name === "Content-Range" ? "bytes 0-7/8" : value);
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      const response = await fetch(url, init);
      const get = response.headers.get.bind(response.headers);
      response.headers.get = (name) => shifted(name, get(name));
      return response;
    });
    expect(await load()).toMatchObject({ ...whole, counts: { network: shard.bytes, stored: 0 } });
  });

  test.each([["of another origin, which would have to allow it", '"1"', "http://page.test"], ["without a tag", null, ORIGIN], ["with a weak tag", 'W/"1"', ORIGIN]])(
    "is asked for without If-Range from a host %s",
    async (_, etag, origin) => {
      host.etag = etag;
      vi.stubGlobal("location", { origin });
      await breakOff();
      expect((await load()).counts).toEqual({ network: shard.bytes - HALF, stored: HALF });
      expect(host.asked).toMatchObject([{ range: `bytes=${HALF}-`, ifRange: null }]);
    },
  );

  test("is fetched anew where what an earlier download left does not fit to it", async () => {
    files.files.set(part, new Uint8Array(HALF).fill(7));
    expect(await load()).toEqual({ ...whole, counts: { network: 2 * shard.bytes - HALF, stored: HALF }, refusal: null });
    expect(host.asked.map(({ range }) => range)).toEqual([`bytes=${HALF}-`, null]);
  });

  test.each([["is whole but has not got its name yet", content, 0], ["is longer than the shard", new Uint8Array(1000), 1]])(
    "is taken, or fetched, as is right where its file %s",
    async (_, left, requests) => {
      files.files.set(part, left.slice());
      expect(await load()).toMatchObject(whole);
      expect(host.asked.length).toBe(requests);
      expect([...files.files.keys()]).toEqual([shard.sha256]);
    },
  );

  test.each([["with a flipped bit", flip(content.slice())], ["cut short", content.slice(0, 9)], ["too long", new Uint8Array([...content, 0])]])(
    "that is stored %s is deleted and fetched again",
    async (_, bad) => {
      files.files.set(shard.sha256, bad);
      expect(await load()).toEqual({ ...whole, counts: { network: shard.bytes, stored: 0 }, refusal: null });
      expect(files.files.get(shard.sha256)).toEqual(content);
    },
  );

  test.each(["files", "nothing"])("that comes damaged is fetched once more, past all caches, where the browser keeps %s", async (kept) => {
    if (kept === "nothing") vi.stubGlobal("navigator", {}), vi.stubGlobal("caches", undefined);
    host.change = (bytes) => (host.asked.length === 1 ? flip(bytes) : bytes);
    expect(await load()).toMatchObject({ ...whole, counts: { network: 2 * shard.bytes, stored: 0 } });
    expect(host.asked.map(({ cache }) => cache)).toEqual(kept === "files" ? ["no-store", "no-store"] : ["default", "reload"]);
  });

  test("that comes damaged twice is an error that names it, and nothing of it is kept", async () => {
    host.change = flip;
    await expect(load()).rejects.toMatchObject({ code: "bad-artifact", message: expect.stringContaining(`${shard.file}: the shard is damaged`) });
    expect([host.asked.length, files.files.size, files.open.size]).toEqual([2, 0, 0]);
  });

  test.each<[string, Error | "half", string]>([
    ["throws", new DOMException("no room", "QuotaExceededError"), "no room"],
    ["writes less", "half", "it has no room left"],
    ["fails otherwise", new Error("the disk is on fire"), "the disk is on fire"],
  ])("is loaded but not kept where the storage %s, and that is told", async (_, failure, message) => {
    files.failures.set(1, failure); // after the tag
    const { refusal, ...rest } = await load({ which: [shard, other] });
    expect(rest).toMatchObject({ counted: shard.bytes + other.bytes, counts: { network: shard.bytes + other.bytes } });
    expect(refusal).toContain(message);
    expect([files.files.size, files.open.size]).toEqual([0, 0]);
  });

  test("is kept after all where room is made for it, and nobody is asked twice for one shard", async () => {
    files.quota = 3; // a tag's
    const makeRoom = vi.fn(async () => ((files.quota = shard.bytes + 3), true));
    expect(await load({ which: [shard, other], makeRoom })).toMatchObject({ refusal: expect.stringContaining("no room") });
    expect(makeRoom).toHaveBeenCalledTimes(2);
    expect([...files.files.keys()]).toEqual([shard.sha256]);
    expect(files.files.get(shard.sha256)).toEqual(content);
  });

  test("is read from the store, but not put into it, where nothing more is to be kept", async () => {
    await load();
    expect((await load({ which: [shard, other], refusal: "no room" })).counts).toEqual({ network: other.bytes, stored: shard.bytes });
    expect([...files.files.keys()]).toEqual([shard.sha256]);
  });
});

describe("two tabs", () => {
  test("that load the same model download each shard once", async () => {
    const tabs = await Promise.all([load({ which: shards }), load({ which: shards })]);
    expect(host.names.sort()).toEqual(shards.map(({ file }) => file).sort());
    expect(tabs[0]!.loaded).toEqual(tabs[1]!.loaded);
    expect(tabs.map(({ counts }) => counts.network).reduce((a, b) => a + b)).toBe(shard.bytes + other.bytes);
  });

  test("do not wait for a download that failed", async () => {
    host.breaks.set(shard.file, HALF);
    const before = host.before;
    host.before = async () => void (host.asked.length === 2 && host.breaks.clear(), await before());
    const [first, second] = await Promise.allSettled([load(), load()]);
    expect(first).toMatchObject({ status: "rejected" });
    expect(second).toMatchObject({ value: { ...whole, counts: { network: shard.bytes - HALF, stored: HALF } } });
  });

  test("end their waiting when they are told to", async () => {
    const aborter = new AbortController();
    let go = (): void => undefined;
    host.before = () => new Promise((resolve) => (go = resolve));
    const first = load();
    await vi.waitFor(() => expect(host.asked.length).toBe(1));
    const second = load({ signal: aborter.signal });
    await new Promise((resolve) => setTimeout(resolve));
    aborter.abort();
    await expect(second).rejects.toMatchObject({ name: "GemletError", code: "aborted" });
    go();
    expect(await first).toMatchObject(whole);
  });

  test("wait for the file of one that has just ended", async () => {
    files.files.set(part, content.slice(0, HALF));
    files.open.set(part, "writer");
    setTimeout(() => files.open.delete(part), 150);
    expect(await load()).toMatchObject({ refusal: null, counts: { network: shard.bytes - HALF, stored: HALF } });
  });
});

describe("without private files", () => {
  test.each<[string, () => void]>([
    ["the browser has none", () => vi.stubGlobal("navigator", {})],
    ["this thread may not open them", () => vi.stubGlobal("FileSystemFileHandle", class {})],
    ["the browser forbids them", () => vi.stubGlobal("navigator", { storage: { getDirectory: () => Promise.reject(new Error("forbidden")) } })],
  ])("shards lie in the Cache API, where %s", async (_, change) => {
    change();
    await expect(FileStore.open()).rejects.toMatchObject({ code: "storage", message: expect.stringMatching(/OPFS|private files/) });
    expect((await load()).counts).toEqual({ network: shard.bytes, stored: 0 });
    expect(await load()).toEqual({ ...whole, counts: { network: 0, stored: shard.bytes }, refusal: null });
    expect(files.files.size).toBe(0);
    expect(await (await openStore())!.sizes()).toEqual(new Map([[shard.sha256, shard.bytes]]));
  });

  test("a damaged shard in the Cache API is fetched again, once", async () => {
    vi.stubGlobal("navigator", {});
    await load();
    for (const entry of caches.caches.get("gemlet-shards")!.values()) flip(entry.body);
    expect((await load()).counts).toEqual({ network: shard.bytes, stored: 0 });
    expect((await load()).counts).toEqual({ network: 0, stored: shard.bytes });
  });

  test("and without the Cache API shards are loaded each time", async () => {
    vi.stubGlobal("navigator", {});
    vi.stubGlobal("caches", undefined);
    for (let i = 0; i < 2; i++) expect(await load()).toMatchObject({ ...whole, counts: { network: shard.bytes, stored: 0 } });
    expect(host.asked.map(({ cache }) => cache)).toEqual(["default", "default"]);
  });
});

describe("stored models", () => {
  const OTHER = "http://site.test/models/other/";
  const changed = { ...artifact.manifest, name: "other", title: "Other", shards: [shard] };
  const total_bytes = shard.bytes + other.bytes;

  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: 1000 }));
  afterEach(() => void vi.useRealTimers());

  test("are listed with what is there of them, the least recently used first", async () => {
    await claimModel(FOLDER, artifact.manifest);
    expect(await storedModels()).toEqual([]);
    await load();
    vi.setSystemTime(2000);
    await claimModel(OTHER, changed);
    const { name, title } = artifact.manifest;
    const recital = { folder: FOLDER, name, title, bytes: shard.bytes, total_bytes, last_used: 1000 };
    const second = { folder: OTHER, name: "other", title: "Other", bytes: shard.bytes, total_bytes: shard.bytes, last_used: 2000 };
    expect(await storedModels()).toEqual([recital, second]);
    vi.setSystemTime(3000);
    await claimModel(FOLDER, artifact.manifest);
    expect(await storedModels()).toEqual([second, { ...recital, last_used: 3000 }]);
  });

  test("count what an interrupted download has left, and no more", async () => {
    await claimModel(FOLDER, artifact.manifest);
    await breakOff();
    expect(await storedModels()).toMatchObject([{ bytes: HALF, total_bytes }]);
  });

  test("lose, in a new version, the shards that it no longer has, and no others", async () => {
    await claimModel(FOLDER, artifact.manifest);
    await load({ which: shards });
    const next = await makeArtifact("a new version of it, all of the same length");
    const manifest = { ...artifact.manifest, shards: [shard, next.manifest.shards[1]!] };
    host.files = new Map([...artifact.files, ...next.files]);
    host.asked = [];
    await claimModel(FOLDER, manifest);
    expect([...files.files.keys()]).toEqual([shard.sha256]);
    await load({ which: manifest.shards });
    expect(host.names).toEqual([manifest.shards[1]!.file]);
  });

  test("are deleted, but for what another one has too", async () => {
    await claimModel(FOLDER, artifact.manifest);
    await claimModel(OTHER, changed);
    await load({ which: shards });
    await deleteModel(FOLDER);
    expect([...files.files.keys()]).toEqual([shard.sha256]);
    expect(await storedModels()).toMatchObject([{ folder: OTHER }]);
    await deleteModel(OTHER);
    expect([files.files.size, await storedModels()]).toEqual([0, []]);
  });

  test("lose with it what the page's service worker keeps of them, and nothing else that it keeps", async () => {
    const kept = await caches.open("gemlet http://site.test/");
    const page = "http://site.test/assets/index.js";
    for (const url of [`${FOLDER}model.json`, `${OTHER}model.json`, page]) await kept.put(url, new Response("{}"));
    await claimModel(FOLDER, artifact.manifest);
    await deleteModel(FOLDER);
    expect((await kept.keys()).map(({ url }) => url)).toEqual([`${OTHER}model.json`, page]);
  });

  test("keep files that a tab has open until a later call", async () => {
    await claimModel(FOLDER, artifact.manifest);
    await load();
    files.open.set(shard.sha256, 1);
    await deleteModel(FOLDER);
    expect(files.files.has(shard.sha256)).toBe(true);
    files.open.clear();
    await deleteModel(FOLDER);
    expect(files.files.size).toBe(0);
  });

  test("are listed and deleted in the Cache API as well", async () => {
    vi.stubGlobal("FileSystemFileHandle", class {});
    await claimModel(FOLDER, artifact.manifest);
    await load();
    expect(await storedModels()).toMatchObject([{ folder: FOLDER, bytes: shard.bytes }]);
    await deleteModel(FOLDER);
    expect(caches.caches.get("gemlet-shards")!.size).toBe(0);
  });
});
