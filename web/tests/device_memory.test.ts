import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { mapOf, text } from "../src/artifact/check_shape";
import { DeviceMemory, type Kind } from "../src/artifact/device_memory";
import { FakeFileHandle, FakeFiles } from "./fake_files";

let files: FakeFiles;
beforeEach(() => {
  files = new FakeFiles();
  vi.stubGlobal("navigator", files.navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
});
afterEach(() => vi.unstubAllGlobals());

const memory = (change: { kind?: Kind; device?: string; model?: string; subject?: string } = {}) =>
  DeviceMemory.of<Record<string, string>>(change.kind ?? "tuning", change.device ?? "acme", change.model ?? "e2b", change.subject ?? "manifest");
const WINNERS = { product: "wide" };

describe("DeviceMemory", () => {
  test("recalls what was kept, and at first nothing", async () => {
    expect(await (await memory()).recall()).toBeNull();
    await (await memory()).keep(WINNERS);
    expect(await (await memory()).recall()).toEqual(WINNERS);
    expect(files.open.size).toBe(0);
  });

  test.each([{ kind: "known-answer" as const }, { device: "other" }, { model: "other" }, { subject: "other" }])("knows nothing of %j", async (change) => {
    await (await memory()).keep(WINNERS);
    expect(await (await memory(change)).recall()).toBeNull();
  });

  test("keeps each device and each model, and of a model that changed the newest alone", async () => {
    for (const change of [{}, { device: "other" }, { model: "other" }, { subject: "other" }]) await (await memory(change)).keep(WINNERS);
    expect(files.files.size).toBe(3);
    expect(await (await memory()).recall()).toBeNull();
    expect(await (await memory({ subject: "other" })).recall()).toEqual(WINNERS);
  });

  test("writes over a longer text", async () => {
    await (await memory()).keep({ product: "a".repeat(100) });
    await (await memory()).keep(WINNERS);
    expect(await (await memory()).recall()).toEqual(WINNERS);
  });

  test("takes what is of another shape for none, as in a file that was damaged", async () => {
    for (const found of [null, [], { product: 3 }, "wide"]) {
      await (await memory()).keep(found as never);
      expect(await (await DeviceMemory.of("tuning", "acme", "e2b", "manifest", mapOf(text))).recall()).toBeNull();
    }
    await (await memory()).keep(WINNERS);
    expect(await (await DeviceMemory.of("tuning", "acme", "e2b", "manifest", mapOf(text))).recall()).toEqual(WINNERS);
  });

  test("takes a file that was cut short for none", async () => {
    await (await memory()).keep(WINNERS);
    const [[name, bytes]] = [...files.files] as [[string, Uint8Array]];
    files.files.set(name, bytes.slice(0, bytes.length / 2));
    expect(await (await memory()).recall()).toBeNull();
  });

  test("remembers nothing, and fails at nothing, where there are no files, no room, or another tab", async () => {
    files.quota = 3;
    await (await memory()).keep(WINNERS);
    expect(await (await memory()).recall()).toBeNull();
    files.open.set([...files.files.keys()][0]!, "writer");
    await (await memory()).keep(WINNERS);
    expect(await (await memory()).recall()).toBeNull();
    vi.stubGlobal("navigator", {});
    await (await memory()).keep(WINNERS);
    expect(await (await memory()).recall()).toBeNull();
  });
});
