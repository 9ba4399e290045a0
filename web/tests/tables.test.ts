import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FileStore, type StoredShard } from "../src/artifact/file_store";
import { StoredRows } from "../src/artifact/stored_rows";
import { Buffers } from "../src/webgpu/buffers";
import { splitRows } from "../src/webgpu/gpu_table";
import { placeTables } from "../src/webgpu/place_tables";
import { FakeFileHandle, FakeFiles } from "./fake_files";
import { type FakeBuffer, FakeDevice } from "./fake_gpu";
import { makeArtifact, withTable } from "./fixture";

const artifact = await withTable(await makeArtifact("abc"));
const { manifest, table } = artifact;
const [{ rows, buffers: [data, scale] = [], part }] = manifest.tables as [(typeof manifest.tables)[0]];
const READING = { kernel: 0, grid: [1, 1, 1] as [number, number, number], buffers: [data!, scale!, part, manifest.state.buffer] };
const { bytes: stateBytes } = manifest.buffers[manifest.state.buffer]!;

let device: FakeDevice;

beforeEach(() => {
  device = new FakeDevice();
  vi.stubGlobal("GPUBufferUsage", { STORAGE: 1, COPY_SRC: 2, COPY_DST: 4, MAP_READ: 8 });
  vi.stubGlobal("navigator", new FakeFiles().navigator);
  vi.stubGlobal("FileSystemFileHandle", FakeFileHandle);
});
afterEach(() => vi.unstubAllGlobals());

/** For each launch that reads the table, the bytes that it binds in place of buffer `index`. */
function bound(buffers: Buffers, index: number): (Uint8Array | undefined)[] {
  return buffers.substitutes(READING).map((each) => (each.get(index) as FakeBuffer | undefined)?.bytes);
}

const words = (bytes: Uint8Array | undefined): number[] => [...new Int32Array(bytes!.buffer)];

describe("splitRows", () => {
  test.each([
    [12, 20, 240, [[0, 12]]],
    [12, 20, 239, [[0, 11], [11, 1]]],
    [12, 20, 100, [[0, 5], [5, 5], [10, 2]]],
    [3, 20, 20, [[0, 1], [1, 1], [2, 1]]],
    [262144, 4480, 2 ** 30, [[0, 239674], [239674, 22470]]], // E2B's table in q4 on SwiftShader
  ])("makes of %i rows of %i bytes, %i at most, %j", (count, rowBytes, limit, expected) => {
    expect(splitRows(count, rowBytes, limit).map(({ first, count: each }) => [first, each])).toEqual(expected);
  });
});

describe("a table in GPU memory", () => {
  const writeAll = (buffers: Buffers, step: number): void => {
    for (const [buffer, content] of table) {
      const bytes = Uint8Array.from(content.flat());
      for (let at = 0; at < bytes.length; at += step) buffers.write(buffer, at, bytes.subarray(at, at + step));
    }
  };

  test.each([[1000, [12]], [100, [5, 5, 2]], [20, new Array<number>(12).fill(1)]])(
    "is bound in parts of whole rows where the device binds %i bytes",
    async (limit, counts) => {
      device.limits.maxStorageBufferBindingSize = limit;
      const buffers = await Buffers.create(device.asGpu(), manifest, null);
      writeAll(buffers, 48);
      buffers.write(part, 0, new Uint8Array(12)); // what the shards say of the whole table
      const firsts = counts.map((_, i) => counts.slice(0, i).reduce((sum, count) => sum + count, 0));
      expect(bound(buffers, part).map(words)).toEqual(counts.map((count, i) => [firsts[i], count, rows]));
      for (const [buffer, content] of table) {
        expect(bound(buffers, buffer).map((bytes) => [...bytes!])).toEqual(counts.map((count, i) => content.slice(firsts[i], firsts[i]! + count).flat()));
      }
      expect(bound(buffers, manifest.state.buffer)).toEqual(counts.map(() => undefined));
    },
  );

  test("in one part takes just the bytes that the manifest states", async () => {
    const buffers = await Buffers.create(device.asGpu(), manifest, null);
    const caches = manifest.buffers.filter(({ slots }) => slots).reduce((sum, { bytes, slot_bytes }) => sum + bytes - 1024 * slot_bytes!, 0);
    expect(device.buffers.reduce((sum, { size }) => sum + size, 0)).toBe(manifest.buffers.reduce((sum, { bytes }) => sum + bytes, 0) - caches);
    buffers.destroy();
    expect(device.buffers.every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("leaves launches that do not read it as they are", async () => {
    const buffers = await Buffers.create(device.asGpu(), manifest, null);
    expect(buffers.substitutes({ ...READING, buffers: [0, 1] })).toEqual([new Map()]);
  });
});

describe("a table in storage", () => {
  /** Its rows come from memory here; tests/stored_rows.test.ts has the files. */
  async function create(): Promise<Buffers> {
    const stored = new StoredRows(manifest, await FileStore.open());
    vi.spyOn(stored, "read").mockImplementation((buffer, at, into) => into.set(table.get(buffer)!.flat().slice(at, at + into.length)));
    return Buffers.create(device.asGpu(), manifest, stored);
  }

  test("takes the rows of a chunk, and ids in the form of a state, and no more", async () => {
    const chunk = Math.max(...manifest.prefill);
    const before = await Buffers.create(new FakeDevice().asGpu(), { ...manifest, tables: [], buffers: manifest.buffers.slice(0, -3) }, null);
    const others = before.gpu.reduce((sum, buffer) => sum + buffer!.size, 0);
    await create();
    expect(device.buffers.reduce((sum, { size }) => sum + size, 0)).toBe(others + chunk * (20 + 8) + 12 + stateBytes);
  });

  test("shows the rows of a step's tokens, in their order, as rows 0, 1, 2 … of a table", async () => {
    const buffers = await create();
    buffers.loadRows([3, 11, 3, -5, 99]);
    const wanted = [3, 11, 3, 0, 11]; // ids outside the table read its ends, as in the kernel
    for (const [buffer, content] of table) {
      const [bytes] = bound(buffers, buffer);
      expect([...bytes!.subarray(0, wanted.length * content[0]!.length)]).toEqual(wanted.flatMap((row) => content[row]!));
    }
    const chunk = Math.max(...manifest.prefill);
    expect(bound(buffers, part).map(words)).toEqual([[0, chunk, chunk]]);
    const ids = words(bound(buffers, manifest.state.buffer)[0]).slice(manifest.state.fields.tokens);
    expect(ids).toEqual(Array.from({ length: chunk }, (_, token) => token));
  });

  test("closes its files with its buffers", async () => {
    const stored = new StoredRows(manifest, await FileStore.open());
    const close = vi.fn();
    vi.spyOn(FileStore.prototype, "open").mockResolvedValue({ close } as unknown as StoredShard);
    const buffers = await Buffers.create(device.asGpu(), manifest, stored);
    await stored.open(1, null);
    buffers.destroy();
    expect(close).toHaveBeenCalledOnce();
    vi.restoreAllMocks();
  });
});

describe("placeTables", () => {
  const NO_ROOM = [null, { message: "no room" }];
  const place = async (request: "auto" | "gpu" | "storage") => (await placeTables(device.asGpu(), manifest, request)).embeddings;

  test("says where, and why", async () => {
    expect(await place("gpu")).toEqual({ place: "gpu", reason: "asked for" });
    expect(await place("storage")).toEqual({ place: "storage", reason: "asked for" });
    expect(await place("auto")).toEqual({ place: "gpu", reason: "the GPU has room for them" });
  });

  test("says nothing where there is no table", async () => {
    const without = (await makeArtifact("abc")).manifest;
    expect((await placeTables(device.asGpu(), without, "storage")).embeddings).toBeNull();
  });

  test("takes storage by itself only where the GPU has no room", async () => {
    device.errors = [...NO_ROOM] as never;
    expect(await place("auto")).toMatchObject({ place: "storage", reason: expect.stringMatching(/the GPU did not give .* no room/) });
    device.errors = [...NO_ROOM] as never;
    await expect(place("gpu")).rejects.toMatchObject({ code: "gpu-error" });
    expect(device.buffers.filter(({ destroyed }) => destroyed).length).toBeGreaterThan(0);
  });

  test("without storage it takes GPU memory, or says that there is too little of it", async () => {
    vi.stubGlobal("navigator", {});
    expect(await place("auto")).toMatchObject({ place: "gpu" });
    await expect(place("storage")).rejects.toMatchObject({ code: "storage" });
    device.errors = [...NO_ROOM] as never;
    await expect(place("auto")).rejects.toMatchObject({ code: "gpu-error" });
  });
});
