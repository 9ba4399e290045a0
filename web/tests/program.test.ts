/** Launches as a pass sees them, with other shaders in the place of kernels. */

import { describe, expect, test } from "vitest";
import type { Launch, VariantSpec } from "../src/artifact/manifest";
import type { Buffers } from "../src/webgpu/buffers";
import { Program } from "../src/webgpu/program";

const pipeline = (label: string) => ({ label, getBindGroupLayout: () => `layout of ${label}` }) as unknown as GPUComputePipeline;
const launch = (kernel: number, buffer: number): Launch => ({ kernel, grid: [kernel + 1, 1, 1], buffers: [buffer] });
const WIDE: VariantSpec = { name: "wide", file: "", entry: "", workgroup: [64, 1, 1], shared_bytes: 0, grid: [9, 2, 1], requires: [], exact: true };
const STEPS = { decode: [launch(0, 0), launch(1, 1), launch(0, 2), launch(0, 3)], tail: [launch(0, 4)] };

type Group = { layout: string; entries: { resource: { buffer: string } }[] };

function program(choices: (VariantSpec | null)[] = [null, null]): { program: Program; launches: (encode: (pass: GPUComputePassEncoder) => void) => string[] } {
  const device = { createBindGroup: (group: Group) => group } as unknown as GPUDevice;
  const buffers = { gpu: ["a", "b", "c", "d", "e"], substitutes: () => [new Map()] } as unknown as Buffers;
  const launches = (encode: (pass: GPUComputePassEncoder) => void): string[] => {
    const seen: string[] = [];
    let now = "";
    encode({
      setPipeline: ({ label }: { label: string }) => void (now = label),
      setBindGroup: (_: number, { layout, entries }: Group) => void (now += ` (${layout}) ${entries.map(({ resource }) => resource.buffer).join()}`),
      dispatchWorkgroups: (...grid: number[]) => void seen.push(`${now} ${grid.join()}`),
    } as unknown as GPUComputePassEncoder);
    return seen;
  };
  return { program: new Program(device, buffers, [pipeline("first"), pipeline("second")], choices, STEPS), launches };
}

const steps = ({ program: made, launches }: ReturnType<typeof program>, step: string): string[] =>
  launches((pass) => made.encode({ beginComputePass: () => Object.assign(pass, { end: () => undefined }) } as unknown as GPUCommandEncoder, step));

describe("Program", () => {
  test("launches each kernel on its buffers, a variant with its own grid", () => {
    expect(steps(program(), "decode")).toEqual([
      "first (layout of first) a 1,1,1", "second (layout of second) b 2,1,1", "first (layout of first) c 1,1,1", "first (layout of first) d 1,1,1",
    ]);
    expect(steps(program([WIDE, null]), "tail")).toEqual(["first (layout of first) e 9,2,1"]);
  });

  test("lets another shader stand for a kernel in every step, with bind groups of its layout", () => {
    const made = program();
    made.program.use(0, pipeline("wide"), WIDE);
    expect(steps(made, "decode")).toEqual([
      "wide (layout of wide) a 9,2,1", "second (layout of second) b 2,1,1", "wide (layout of wide) c 9,2,1", "wide (layout of wide) d 9,2,1",
    ]);
    expect(steps(made, "tail")).toEqual(["wide (layout of wide) e 9,2,1"]);
    expect(made.program.pipelineOf(0).label).toBe("wide");
  });

  test("gives an excerpt for another shader, and changes nothing by it", () => {
    const made = program();
    const excerpt = made.program.excerpt(0, "decode", 2, pipeline("wide"), WIDE);
    expect(made.launches(excerpt)).toEqual(["wide (layout of wide) a 9,2,1", "wide (layout of wide) c 9,2,1"]);
    expect(steps(made, "tail")).toEqual(["first (layout of first) e 1,1,1"]);
  });
});
