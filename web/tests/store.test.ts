/** Shards and the store: what is kept, gone on with and checked. */

import { describe, expect, test, vi } from "vitest";
import { FileStore } from "../src/artifact/file_store";
import { openStore } from "../src/artifact/store";
import { ORIGIN } from "./fake_host";
import { breakOff, caches, content, files, flip, HALF, host, load, other, part, shard, shards, whole } from "./shard_loads";

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
