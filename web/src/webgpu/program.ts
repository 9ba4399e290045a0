/** The Program, ready to run: bind groups made once, and each step a flat array that one pass encodes. */

import type { Launch } from "../artifact/manifest";
import type { Buffers } from "./buffers";
import type { Substitutes } from "./placed_table";
import type { Choice } from "./variants";

interface Bound {
  launch: Launch;
  /** Number of the launch in its step. */
  number: number;
  pipeline: GPUComputePipeline;
  grid: Launch["grid"];
  substitutes: Substitutes;
  group: GPUBindGroup;
}

export class Program {
  private readonly steps = new Map<string, Bound[]>();

  /** `pipelines` by kernel, each of the shader in `choices`. */
  constructor(
    private readonly device: GPUDevice,
    private readonly buffers: Buffers,
    private readonly pipelines: GPUComputePipeline[],
    choices: readonly Choice[],
    steps: Readonly<Record<string, Launch[]>>,
  ) {
    for (const [name, launches] of Object.entries(steps)) {
      const bound = launches.flatMap((launch, number) => {
        const [pipeline, choice] = [pipelines[launch.kernel]!, choices[launch.kernel]!];
        return buffers.substitutes(launch).map((substitutes) => this.bound(launch, number, substitutes, pipeline, choice));
      });
      this.steps.set(name, bound);
    }
  }

  pipelineOf(kernel: number): GPUComputePipeline {
    return this.pipelines[kernel]!;
  }

  /** Lets another shader stand for a kernel. */
  use(kernel: number, pipeline: GPUComputePipeline, choice: Choice): void {
    this.pipelines[kernel] = pipeline;
    for (const [name, launches] of this.steps) {
      this.steps.set(name, launches.map((each) => (each.launch.kernel === kernel ? this.bound(each.launch, each.number, each.substitutes, pipeline, choice) : each)));
    }
  }

  /** Encodes the first launches of one kernel in a step, at most `most`, with another shader in the kernel's place. */
  excerpt(kernel: number, step: string, most: number, pipeline: GPUComputePipeline, choice: Choice): (pass: GPUComputePassEncoder) => void {
    const own = this.steps.get(step)!.filter(({ launch }) => launch.kernel === kernel).slice(0, most);
    const launches = own.map(({ launch, number, substitutes }) => this.bound(launch, number, substitutes, pipeline, choice));
    return (pass) => encodeLaunches(pass, launches);
  }

  /** Adds one compute pass with all launches of the step. */
  encode(encoder: GPUCommandEncoder, step: string): void {
    const pass = encoder.beginComputePass();
    encodeLaunches(pass, this.steps.get(step)!);
    pass.end();
  }

  /** The same with the launches first … last - 1 of the step. */
  encodePart(encoder: GPUCommandEncoder, step: string, first: number, last: number): void {
    const pass = encoder.beginComputePass();
    encodeLaunches(pass, this.steps.get(step)!.filter(({ number }) => first <= number && number < last));
    pass.end();
  }

  /** Makes the bind groups again that hold one of these buffers. */
  rebind(replaced: ReadonlySet<number>): void {
    for (const bound of this.steps.values()) {
      for (const each of bound) {
        if (each.launch.buffers.some((index) => replaced.has(index))) each.group = this.bind(each.launch, each.pipeline, each.substitutes);
      }
    }
  }

  private bound(launch: Launch, number: number, substitutes: Substitutes, pipeline: GPUComputePipeline, choice: Choice): Bound {
    return { launch, number, substitutes, pipeline, grid: choice?.grid ?? launch.grid, group: this.bind(launch, pipeline, substitutes) };
  }

  private bind(launch: Launch, pipeline: GPUComputePipeline, substitutes: Substitutes): GPUBindGroup {
    const bufferOf = (index: number): GPUBuffer => substitutes.get(index) ?? this.buffers.gpu[index]!;
    return this.device.createBindGroup({
      label: pipeline.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: launch.buffers.map((index, binding) => ({ binding, resource: { buffer: bufferOf(index) } })),
    });
  }
}

function encodeLaunches(pass: GPUComputePassEncoder, launches: readonly Bound[]): void {
  for (const { pipeline, group, grid } of launches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
  }
}
