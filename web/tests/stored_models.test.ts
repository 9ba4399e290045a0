/** Models that the browser keeps: listed and freed. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { claimModel, deleteModel, storedModels } from "../src/artifact/stored_models";
import { FOLDER } from "./fake_host";
import { makeArtifact } from "./fixture";
import { artifact, breakOff, caches, files, HALF, host, load, other, shard, shards } from "./shard_loads";

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

  test("are listed although the records of others are damaged, and a load goes on", async () => {
    await claimModel(FOLDER, artifact.manifest);
    await load();
    const records = await globalThis.caches.open("gemlet-models");
    const damaged = ["null", "{}", "{", JSON.stringify({ folder: 3, name: "n", title: "t", shards: [], last_used: 1 }), JSON.stringify({ folder: "f", name: "n", title: "t", shards: [null], last_used: 1 })];
    for (const [i, record] of damaged.entries()) await records.put(`https://gemlet.invalid/?folder=${i}`, new Response(record));
    await claimModel(FOLDER, artifact.manifest);
    expect((await storedModels()).map(({ folder }) => folder)).toEqual([FOLDER]);
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
