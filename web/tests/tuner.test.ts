import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { KernelSpec, Manifest, VariantSpec } from "../src/artifact/manifest";
import type { ActivationsRequest } from "../src/backend/backend";
import { BUDGET_MS, type Contest, MOST_CONTESTS, planContests, tune } from "../src/webgpu/tuner";
import { type Choice, kernelsInfo, requiredByVariants, unmeasured, usableVariants } from "../src/webgpu/variants";
import { DEFAULT_LIMITS } from "./fake_gpu";

const variant = (name: string, requires: string[] = [], exact = true): VariantSpec => ({
  name, requires, exact, file: `${name}.wgsl`, entry: name, workgroup: [64, 1, 1], shared_bytes: 0, grid: [2, 1, 1],
});
const kernel = (name: string, ...variants: VariantSpec[]): KernelSpec => ({ name, file: `${name}.wgsl`, entry: name, workgroup: [32, 1, 1], shared_bytes: 0, variants });

const PACKED = "packed_4x8_integer_dot_product";
const [packed, half] = [variant("packed", [PACKED], false), variant("half", ["shader-f16"], false)];
const [quads, wide] = [variant("quads", ["subgroups"]), variant("wide")];
const product = kernel("product", packed, half, quads, wide);
const plain: KernelSpec = { name: "plain", file: "plain.wgsl", entry: "plain", workgroup: [1, 1, 1], shared_bytes: 0 };

describe("variants", () => {
  const usable = (offered: string[], activations: ActivationsRequest = "int8") =>
    usableVariants(product, new Set(offered), DEFAULT_LIMITS, activations).map(({ name }) => name);

  test("run where the device offers what they require, and where rounding is allowed", () => {
    const all = [PACKED, "shader-f16", "subgroups"];
    expect(usable(all)).toEqual(["packed", "quads", "wide"]);
    expect(usable(all, "float16")).toEqual(["half", "quads", "wide"]);
    for (const activations of ["float", "int16"] as const) expect(usable(all, activations)).toEqual(["quads", "wide"]);
    expect(usable(["shader-f16"])).toEqual(["wide"]);
    expect(usable([])).toEqual(["wide"]);
    expect(usableVariants(plain, new Set(all), DEFAULT_LIMITS, "int8")).toEqual([]);
  });

  test.each<[Partial<VariantSpec>, string, number]>([
    [{ workgroup: [17, 1, 1] }, "maxComputeWorkgroupSizeX", 16],
    [{ workgroup: [1, 17, 1] }, "maxComputeWorkgroupSizeY", 16],
    [{ workgroup: [1, 1, 17] }, "maxComputeWorkgroupSizeZ", 16],
    [{ workgroup: [16, 8, 3] }, "maxComputeInvocationsPerWorkgroup", 383],
    [{ shared_bytes: 8208 }, "maxComputeWorkgroupStorageSize", 8192],
    [{ grid: [1, 70, 1] }, "maxComputeWorkgroupsPerDimension", 69],
  ])("are left out where %j is more than the device's %s of %d", (change, name, most) => {
    const changed = kernel("product", { ...wide, ...change });
    const names = (limits: Record<string, number>): string[] => usableVariants(changed, new Set(), limits, "int8").map((each) => each.name);
    expect(names({ ...DEFAULT_LIMITS, [name]: most })).toEqual([]);
    expect(names({ ...DEFAULT_LIMITS, [name]: most + 16 })).toEqual(["wide"]);
  });

  test("unmeasured, the best that requires something runs, and no other launch shape", () => {
    expect(unmeasured([packed, quads, wide], [4, 1, 1], false)).toBe(packed);
    expect(unmeasured([wide, quads], [4, 1, 1], true)).toBe(quads);
    expect(unmeasured([wide], [4, 1, 1], false)).toBeNull();
  });

  test("unmeasured on a processor, the shape with the fewest workgroups runs", () => {
    const one: VariantSpec = { ...variant("one"), grid: [1, 1, 1] };
    expect(unmeasured([wide, one], [4, 1, 1], true)).toBe(one);
    expect(unmeasured([wide], [2, 1, 1], true)).toBeNull();
    expect(unmeasured([], [4, 1, 1], true)).toBeNull();
  });

  test("are counted by what they require", () => {
    const both = variant("both", ["subgroups", "packed"]);
    const kernels = [plain, kernel("a", wide), kernel("b", quads), kernel("c", both), kernel("d", quads)];
    const tuning = { source: "off", kernels: 0, milliseconds: 0 } as const;
    expect(kernelsInfo(kernels, [null, wide, quads, both, null], tuning)).toEqual({
      counts: { main: 2, shape: 1, subgroups: 1, "subgroups + packed": 1 }, variants: { a: "wide", b: "quads", c: "both" }, tuning,
    });
    expect([...requiredByVariants({ kernels } as Manifest)].sort()).toEqual(["packed", "subgroups"]);
  });
});

describe("planContests", () => {
  /** Kernel i reads `sizes[i]` bytes of weights in each launch that `steps` has of it. */
  const manifest = (sizes: number[], steps: Record<string, number[]>): Manifest => ({
    prefill: [16, 64],
    kernels: sizes.map((_, i) => kernel(`k${i}`, wide)),
    buffers: [...sizes.map((bytes, i) => ({ name: `w${i}`, kind: "weight", bytes })), { name: "scratch", kind: "activation", bytes: 1e9 }],
    steps: Object.fromEntries(["decode", "tail", "prefill_16", "prefill_64"].map((step) => [
      step, (steps[step] ?? []).map((each) => ({ kernel: each, grid: [1, 1, 1], buffers: [each, sizes.length] })),
    ])),
  }) as unknown as Manifest;
  const plan = (...made: Parameters<typeof manifest>) => {
    const each = manifest(...made);
    return planContests(each, each.kernels.map(() => [wide]), each.kernels.map(() => null)).map(({ kernel: index, step }) => `${index} ${step}`);
  };

  test("goes by the weights that a step reads through a kernel", () => {
    expect(plan([10, 25, 100], { decode: [0, 0, 0, 1, 2] })).toEqual(["2 decode", "0 decode", "1 decode"]);
  });

  test("takes a token's step before a prompt's, and large chunks before small ones", () => {
    expect(plan([10, 10, 10], { prefill_16: [0], prefill_64: [1], decode: [2] })).toEqual(["2 decode", "1 prefill_64", "0 prefill_16"]);
  });

  test("leaves out kernels without a choice, and all but the costliest", () => {
    const many = manifest(Array.from({ length: 20 }, (_, i) => 100 - i), { decode: Array.from({ length: 20 }, (_, i) => i) });
    const usable = many.kernels.map((_, i) => (i === 0 ? [] : [wide]));
    expect(planContests(many, usable, many.kernels.map(() => null)).map((each) => each.kernel)).toEqual(Array.from({ length: MOST_CONTESTS }, (_, i) => i + 1));
  });

  test("lets what runs now begin, and the kernel itself take part", () => {
    const one = manifest([1], { decode: [0] });
    expect(planContests(one, [[quads, wide]], [quads])[0]!.candidates).toEqual([quads, null, wide]);
  });
});

describe("tune", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const contest = (index: number, ...candidates: Choice[]): Contest => ({ kernel: index, step: "decode", candidates });
  const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  /** Holds contests whose candidates take the milliseconds in `times`, one list a contest, after `compile` each. */
  async function held(contests: Contest[], times: number[][], compile = 0) {
    const runs: string[] = [];
    const signals: AbortSignal[] = [];
    const ready = async ({ kernel: index }: Contest, signal: AbortSignal) => {
      signals.push(signal);
      await wait(compile);
      return times[index]!.map((time, i) => async () => {
        runs.push(`${index}.${i}`);
        await wait(time);
        return time;
      });
    };
    const started = performance.now();
    const tuning = tune(contests, ready);
    await vi.runAllTimersAsync();
    return { winners: await tuning, runs, signals, started };
  }

  test("gives each kernel its fastest candidate, which run in turns", async () => {
    const { winners, runs } = await held([contest(0, null, quads, wide), contest(1, quads, null)], [[3, 5, 2], [2, 4]]);
    expect([...winners]).toEqual([[0, wide], [1, quads]]);
    expect(runs.slice(0, 6)).toEqual(["0.0", "0.1", "0.2", "0.0", "0.1", "0.2"]);
  });

  test("leaves what runs now where another is not clearly faster", async () => {
    expect([...(await held([contest(0, null, wide)], [[100, 96]])).winners]).toEqual([[0, null]]);
    expect([...(await held([contest(0, null, wide)], [[100, 94]])).winners]).toEqual([[0, wide]]);
  });

  test("takes the best time of each, since only others' work makes a run slower", async () => {
    const times = [[10, 30, 30], [20, 20, 20]];
    const measures = times.map((each) => { let i = 0; return async () => each[i++]!; });
    expect([...(await tune([contest(0, null, wide)], async () => measures))]).toEqual([[0, null]]);
  });

  test("ends with its budget: kernels that were not reached, or not once through, keep what they have", async () => {
    const contests = [contest(0, null, wide), contest(1, null, wide), contest(2, null, wide)];
    const ended = vi.fn();
    const slow = tune(contests, async () => [() => wait(60).then(() => 60), () => wait(40).then(() => 40)]).then((winners) => (ended(performance.now()), winners));
    const started = performance.now();
    await vi.advanceTimersByTimeAsync(BUDGET_MS - 1);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toHaveBeenCalledWith(started + BUDGET_MS);
    expect([...(await slow)]).toEqual([[0, wide]]);
  });

  test("counts the compiling too, and tells whoever compiles that it is over", async () => {
    const { winners, runs, signals } = await held([contest(0, null, wide)], [[1, 1]], 2 * BUDGET_MS);
    expect([winners.size, runs.length, signals.map(({ aborted }) => aborted)]).toEqual([0, 0, [true]]);
  });

  test("passes on what fails while it lasts, and nothing after", async () => {
    await expect(tune([contest(0, null)], async () => { throw new Error("lost"); })).rejects.toThrow("lost");
    const late = tune([contest(0, null)], async () => { await wait(2 * BUDGET_MS); throw new Error("lost"); });
    await vi.runAllTimersAsync();
    expect((await late).size).toBe(0);
  });
});
