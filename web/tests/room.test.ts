import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { makeRoom, offerModels, type StorageFull } from "../src/artifact/room";
import { claimModel, storedModels } from "../src/artifact/stored_models";
import { FakeCaches } from "./fake_caches";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { makeArtifact } from "./fixture";

const { manifest } = await makeArtifact("abc");
const MIB = 2 ** 20;
const SIZES = { old: 3 * MIB, middle: 2 * MIB, mine: 1 * MIB };
let files: FakeFiles;

const folderOf = (name: string): string => `http://site.test/models/${name}/`;

/** A browser that gives 8 MiB, in which three models lie; the first was used the longest time ago. */
beforeEach(async () => {
  files = new FakeFiles();
  files.quota = 8 * MIB;
  vi.stubGlobal("navigator", files.navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
  vi.stubGlobal("caches", new FakeCaches());
  vi.useFakeTimers({ toFake: ["Date"] });
  for (const [index, [name, bytes]] of Object.entries(SIZES).entries()) {
    vi.setSystemTime(index);
    const sha256 = `${index}`.repeat(64);
    await claimModel(folderOf(name), { ...manifest, name, shards: [{ file: `${name}.bin`, bytes, sha256 }] });
    files.files.set(sha256, new Uint8Array(bytes));
  }
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const stored = async (): Promise<string[]> => (await storedModels()).map(({ name }) => name);

test("nobody is asked where there is room, or where the browser does not say", async () => {
  const ask = vi.fn();
  expect(await makeRoom(folderOf("mine"), 2 * MIB, ask)).toBeNull();
  files.quota = 0;
  vi.stubGlobal("navigator", {});
  expect(await makeRoom(folderOf("mine"), 9 * MIB, ask)).toBeNull();
  expect(ask).not.toHaveBeenCalled();
});

test("without anybody to ask all models stay, and the answer says what is needed and what is free", async () => {
  expect(await makeRoom(folderOf("mine"), 4 * MIB, null)).toMatch(/needs 4 MiB more .* has 2 MiB free/);
  expect(await stored()).toEqual(["old", "middle", "mine"]);
});

test("the other models are offered, the least recently used first, and those that are named are deleted", async () => {
  const asked: StorageFull[] = [];
  const ask = async (full: StorageFull): Promise<string[]> => (asked.push(full), [full.candidates[0]!.folder]);
  expect(await makeRoom(folderOf("mine"), 4 * MIB, ask)).toBeNull();
  expect(asked).toMatchObject([{ needed: 4 * MIB, free: 2 * MIB, candidates: [{ name: "old", bytes: 3 * MIB }, { name: "middle", bytes: 2 * MIB }] }]);
  expect(await stored()).toEqual(["middle", "mine"]);
});

test("what is given may be too little, or nothing", async () => {
  expect(await makeRoom(folderOf("mine"), 4 * MIB, async () => [])).toMatch(/needs 4 MiB/);
  expect(await makeRoom(folderOf("mine"), 9 * MIB, async () => [folderOf("middle")])).toMatch(/needs 9 MiB .* has 4 MiB free/);
  expect(await stored()).toEqual(["old", "mine"]);
});

test("nobody is asked where there is no other model", async () => {
  const ask = vi.fn();
  await makeRoom(folderOf("mine"), 4 * MIB, async () => [folderOf("old"), folderOf("middle")]);
  expect(await makeRoom(folderOf("mine"), 9 * MIB, ask)).toMatch(/needs 9 MiB/);
  expect(ask).not.toHaveBeenCalled();
});

test("a folder that was not offered is refused by its name, and nothing is deleted", async () => {
  const asked = makeRoom(folderOf("mine"), 4 * MIB, async () => [folderOf("old"), folderOf("mine")]);
  await expect(asked).rejects.toMatchObject({ code: "bad-request", message: expect.stringContaining(`found "${folderOf("mine")}"`) });
  expect(await stored()).toEqual(["old", "middle", "mine"]);
});

test("where the browser was wrong, models are offered all the same", async () => {
  const ask = vi.fn(async ({ candidates }: StorageFull) => [candidates[0]!.folder]);
  expect(await offerModels(folderOf("mine"), MIB, 0, ask)).toBe(true);
  expect(ask).toHaveBeenCalledWith(expect.objectContaining({ needed: MIB, free: 0 }));
  expect(await stored()).toEqual(["middle", "mine"]);
  expect(await offerModels(folderOf("mine"), MIB, 0, async () => [])).toBe(false);
  expect(await offerModels(folderOf("mine"), MIB, 0, null)).toBe(false);
  expect(await stored()).toEqual(["middle", "mine"]);
});
