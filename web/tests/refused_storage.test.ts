/** Browsers that refuse their storage, as in a sandboxed frame, a private window, or where a disk is broken: a model loads all the same, and what is kept is told. */

import { expect, test, vi } from "vitest";
import { makeRoom } from "../src/artifact/room";
import { askToPersist, freeBytes, isPersistent } from "../src/artifact/site_quota";
import { claimModel, deleteModel, storedModels } from "../src/artifact/stored_models";
import { openStore } from "../src/artifact/store";
import { artifact, caches, files, host, load, shard, whole } from "./shard_loads";
import { FOLDER } from "./fake_host";

const refusal = () => Promise.reject(new DOMException("the frame has no origin", "SecurityError"));
const refusing = { getDirectory: refusal, estimate: refusal, persist: refusal, persisted: refusal };
const throwing = (): never => {
  throw new DOMException("denied", "SecurityError");
};

test.each<[string, () => void]>([
  ["refuses all", () => (vi.stubGlobal("navigator", { storage: refusing, locks: { request: refusal } }), vi.stubGlobal("caches", { open: refusal, keys: refusal }))],
  ["throws for all", () => (vi.stubGlobal("navigator", { get storage() { return throwing(); }, locks: { request: refusal } }), vi.stubGlobal("caches", { open: throwing, keys: throwing }))],
  ["has none of it", () => (vi.stubGlobal("navigator", {}), vi.stubGlobal("caches", undefined))],
])("a browser that %s loads from the network, and keeps nothing", async (_, refuse) => {
  refuse();
  expect(await openStore()).toBeNull();
  expect(await load()).toMatchObject({ ...whole, counts: { network: shard.bytes, stored: 0 } });
  askToPersist();
  expect([await isPersistent(), await freeBytes(), await storedModels()]).toEqual([false, Infinity, []]);
  await deleteModel(FOLDER);
});

test("without locks, what is kept is used all the same", async () => {
  await load();
  vi.stubGlobal("navigator", { ...files.navigator, locks: { request: refusal } });
  expect((await load()).counts).toEqual({ network: 0, stored: shard.bytes });
});

test("a browser that does not tell its quota has room until it refuses", async () => {
  const { storage } = files.navigator as { storage: object };
  vi.stubGlobal("navigator", { ...files.navigator, storage: { ...storage, estimate: refusal } });
  expect(await makeRoom(FOLDER, 1e12, null)).toBeNull();
});

test("a store that cannot be read is filled from the network, or left alone", async () => {
  const { storage } = files.navigator as { storage: object };
  vi.stubGlobal("navigator", { ...files.navigator, storage: { ...storage, getDirectory: refusal } });
  const open = caches.open.bind(caches);
  const broken = async (name: string) => ({ ...(await open(name)), match: refusal, keys: refusal, delete: refusal });
  vi.stubGlobal("caches", { open: broken, keys: refusal });
  expect(await load()).toMatchObject({ ...whole, counts: { network: shard.bytes, stored: 0 } });
  expect(await storedModels()).toEqual([]);
});

test("a record that is damaged hides no other model", async () => {
  await claimModel(FOLDER, artifact.manifest);
  await load();
  await (await caches.open("gemlet-models")).put("https://gemlet.invalid/?folder=x", new Response("{"));
  expect(await storedModels()).toMatchObject([{ folder: FOLDER, bytes: shard.bytes }]);
});

test("a query is no part of what tells models apart, and stands behind each file's name", async () => {
  await claimModel(`${FOLDER}?v=1`, artifact.manifest);
  await claimModel(`${FOLDER}?v=2`, artifact.manifest);
  await load();
  expect(await storedModels()).toMatchObject([{ folder: FOLDER }]);
  await deleteModel(`${FOLDER}?v=3`);
  expect([await storedModels(), files.files.size, host.asked.length]).toEqual([[], 0, 1]);
});
