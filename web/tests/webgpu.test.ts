import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Buffers } from "../src/webgpu/buffers";
import { copyCaches } from "../src/webgpu/copy_caches";
import { State } from "../src/backend/state";
import { findAdapter, openDevice } from "../src/webgpu/device";
import { type FakeBuffer, FakeDevice, fakeGpu } from "./fake_gpu";
import { CONTEXT, makeArtifact, withTable } from "./fixture";

const { manifest } = await makeArtifact("abc");
const CACHE = 1;

beforeAll(() => vi.stubGlobal("GPUBufferUsage", { STORAGE: 1, COPY_SRC: 2, COPY_DST: 4, MAP_READ: 8 }));
afterAll(() => vi.unstubAllGlobals());

describe("openDevice", () => {
  test("asks for the manifest's limits, and describes the adapter", async () => {
    const { gpu, requested } = fakeGpu(manifest.limits);
    expect((await openDevice(manifest, await findAdapter(manifest, gpu))).adapter).toBe("acme one (software)");
    expect(requested).toEqual([{ requiredLimits: manifest.limits, requiredFeatures: [] }]);
  });

  test("names each limit that is missing, needed and offered, and no other", async () => {
    const { gpu, requested } = fakeGpu({ ...manifest.limits, maxStorageBufferBindingSize: 1024 });
    const opening = findAdapter(manifest, gpu);
    await expect(opening).rejects.toMatchObject({
      code: "device-limits",
      message: expect.stringContaining("maxStorageBufferBindingSize: needed 1048576, offered 1024"),
    });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining("maxStorageBuffersPerShaderStage") });
    expect(requested).toEqual([]);
  });

  test("says which browsers have WebGPU where this one has not", async () => {
    vi.stubGlobal("isSecureContext", true);
    vi.stubGlobal("navigator", {});
    await expect(findAdapter(manifest)).rejects.toMatchObject({
      code: "no-backend",
      message: expect.stringMatching(/this browser has no WebGPU\..*Chrome.*Safari.*Firefox/),
    });
  });

  test("says that there is no adapter where there is none", async () => {
    await expect(findAdapter(manifest, fakeGpu(null).gpu)).rejects.toThrow(/offers no GPU.*hardware acceleration/);
  });
});

describe("openDevice, where kernels have variants", () => {
  test("asks for the features that the adapter has of those that they require, and for its clock", async () => {
    const changed = structuredClone(manifest);
    const shader = { ...changed.kernels[0]!, grid: [1, 1, 1] as [number, number, number], exact: true };
    changed.kernels[0]!.variants = [["subgroups"], ["shader-f16", "subgroups"], ["packed"], ["software-adapter"], []].map((requires) => ({ ...shader, requires }));
    const { gpu, requested } = fakeGpu(manifest.limits, ["subgroups", "timestamp-query", "float32-filterable"], ["packed", "other"]);
    const found = await findAdapter(changed, gpu);
    const { offered, identity } = await openDevice(changed, { ...found, software: false });
    expect(requested[0]!.requiredFeatures).toEqual(["subgroups", "timestamp-query"]);
    expect([...offered].sort()).toEqual(["packed", "subgroups"]);
    const onProcessor = await openDevice(changed, { ...found, software: true });
    expect([...onProcessor.offered].sort()).toEqual(["packed", "software-adapter", "subgroups"]);
    expect(JSON.parse(identity)).toEqual(["acme", "one", "", ""]);
  });
});

describe("openDevice, where there are tables", () => {
  test("asks for as much of a table as the adapter binds, and for no more than the table has", async () => {
    const { manifest } = await withTable(await makeArtifact("abc"));
    manifest.limits = { maxStorageBufferBindingSize: 100, maxBufferSize: 100 };
    for (const [offered, wanted] of [[1000, 240], [200, 200], [100, 100]] as const) {
      const { gpu, requested } = fakeGpu({ maxStorageBufferBindingSize: offered, maxBufferSize: 1000 });
      await openDevice(manifest, await findAdapter(manifest, gpu));
      expect(requested).toEqual([{ requiredLimits: { maxStorageBufferBindingSize: wanted, maxBufferSize: 240 }, requiredFeatures: [] }]);
    }
  });
});

describe("Buffers", () => {
  const create = async () => {
    const buffers = await Buffers.create(new FakeDevice().asGpu(), manifest, null);
    return { buffers, cache: () => buffers.gpu[CACHE] as unknown as FakeBuffer };
  };

  test("starts linear caches small and the rest in full", async () => {
    const { buffers } = await create();
    expect(buffers.gpu.map((buffer) => buffer!.size)).toEqual(
      manifest.buffers.map((spec, index) => (index === CACHE ? 4 * 1024 : spec.bytes)),
    );
  });

  test("leaves caches alone that are large enough", async () => {
    const { buffers, cache } = await create();
    const before = cache();
    expect(buffers.ensureSlots(1024)).toEqual(new Set());
    expect(cache()).toBe(before);
  });

  test("doubles a cache until it is large enough, keeps its bytes, and frees the old one", async () => {
    const { buffers, cache } = await create();
    const before = cache();
    before.bytes.set([1, 2, 3], 4093);
    expect(buffers.ensureSlots(1025)).toEqual(new Set([CACHE]));
    expect(cache().size).toBe(4 * 2048);
    expect([...cache().bytes.subarray(4092, 4097)]).toEqual([0, 1, 2, 3, 0]);
    expect(before.destroyed).toBe(true);
    expect(buffers.ensureSlots(2049)).toEqual(new Set([CACHE]));
    expect(cache().size).toBe(4 * CONTEXT);
  });

  test("has its caches copied as far as they are written, put back into those that have grown since, and freed", async () => {
    const device = new FakeDevice();
    const buffers = await Buffers.create(device.asGpu(), manifest, null);
    const cache = (): FakeBuffer => buffers.gpu[CACHE] as unknown as FakeBuffer;
    const { slot_tile, slot_bytes } = manifest.buffers[CACHE]!;
    cache().bytes.fill(7);
    const copy = (await copyCaches(device.asGpu(), buffers, slot_tile! + 1))!;
    const copied = 2 * slot_tile! * slot_bytes!;
    expect([copy.bytes, device.buffers.at(-1)!.size]).toEqual([copied, copied]);
    buffers.ensureSlots(1025);
    cache().bytes.fill(8);
    copy.restore();
    expect([...cache().bytes.subarray(copied - 1, copied + 1)]).toEqual([7, 8]);
    copy.free();
    expect(device.buffers.filter(({ label }) => label === "conversation").every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("is not copied where the GPU has no memory for it", async () => {
    const device = new FakeDevice();
    const buffers = await Buffers.create(device.asGpu(), manifest, null);
    device.errors = [{ message: "too little" } as GPUError];
    expect(await copyCaches(device.asGpu(), buffers, 1)).toBeNull();
    expect(device.buffers.at(-1)!.destroyed).toBe(true);
  });

  test("never makes a cache larger than it may be", async () => {
    const { buffers, cache } = await create();
    buffers.ensureSlots(10 * CONTEXT);
    expect(cache().size).toBe(4 * CONTEXT);
    expect(buffers.ensureSlots(10 * CONTEXT)).toEqual(new Set());
  });

  test("allocates whole tiles", async () => {
    const odd = structuredClone(manifest);
    Object.assign(odd.buffers[CACHE]!, { slots: 2970, slot_tile: 330 });
    const buffers = await Buffers.create(new FakeDevice().asGpu(), odd, null);
    expect(buffers.gpu[CACHE]!.size).toBe(4 * 1320);
    buffers.ensureSlots(1321);
    expect(buffers.gpu[CACHE]!.size).toBe(4 * 2640);
  });

  test("says how much memory the GPU did not give", async () => {
    const device = new FakeDevice();
    device.errors = [null, { message: "no room" }];
    const creating = Buffers.create(device.asGpu(), manifest, null);
    await expect(creating).rejects.toMatchObject({ code: "gpu-error", message: expect.stringMatching(/1 MiB.*no room/) });
  });
});

describe("State", () => {
  test("puts each field at its word, in its type", () => {
    const bytes = new ArrayBuffer(manifest.buffers[manifest.state.buffer]!.bytes);
    const state = new State(manifest, bytes);
    state.start({ temperature: 0.5, top_k: 3, top_p: 0.25, min_p: 0.125, seed: 0xffffffff, stop: [7, 8] });
    state.setChunk(5, [10, 11, 12], [0, 1, 1]);
    const ints = new Int32Array(bytes);
    const floats = new Float32Array(bytes);
    expect([...ints.subarray(0, 4)]).toEqual([5, 3, 0, 0]);
    expect([floats[4], ints[5], floats[6], floats[7]]).toEqual([0.5, 3, 0.25, 0.125]);
    expect(new Uint32Array(bytes)[8]).toBe(0xffffffff);
    expect([...ints.subarray(9, 13)]).toEqual([2, 7, 8, 0]);
    expect([...ints.subarray(90, 94)]).toEqual([0, 1, 1, 0]);
    expect([...ints.subarray(348, 352)]).toEqual([10, 11, 12, 0]);
    state.setChunk(8, [13]);
    expect([...ints.subarray(90, 94)], "an image is over after its chunk").toEqual([0, 0, 0, 0]);
  });

  test("reads the newest token from the ring, also after its end", () => {
    const bytes = new ArrayBuffer(manifest.buffers[manifest.state.buffer]!.bytes);
    const state = new State(manifest, bytes);
    const copy = new Int32Array(bytes.byteLength / 4);
    copy[26 + 1] = 99;
    for (const generated of [2, 66]) {
      copy[2] = generated;
      expect(state.readDrawnFrom(copy)).toEqual({ token: 99, finished: false });
    }
    copy[3] = 1;
    expect(state.readDrawnFrom(copy).finished).toBe(true);
  });
});
