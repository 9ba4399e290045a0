/** The Program, ready to run: bind groups made once, and each step a flat array that one pass encodes. */

import type { Launch } from "../artifact/manifest";
import type { Buffers } from "./buffers";
import type { Substitutes } from "./placed_table";

interface Bound {
  launch: Launch;
  pipeline: GPUComputePipeline;
  substitutes: Substitutes;
  group: GPUBindGroup;
}

export class Program {
  private readonly steps = new Map<string, Bound[]>();

  constructor(
    private readonly device: GPUDevice,
    private readonly buffers: Buffers,
    pipelines: readonly GPUComputePipeline[],
    steps: Readonly<Record<string, Launch[]>>,
  ) {
    for (const [name, launches] of Object.entries(steps)) {
      const bound = launches.flatMap((launch) => {
        const pipeline = pipelines[launch.kernel]!;
        return buffers.substitutes(launch).map((substitutes) => ({
          launch, pipeline, substitutes, group: this.bind(launch, pipeline, substitutes),
        }));
      });
      this.steps.set(name, bound);
    }
  }

  /** Adds one compute pass with all launches of the step. */
  encode(encoder: GPUCommandEncoder, step: string): void {
    const pass = encoder.beginComputePass();
    for (const { launch, pipeline, group } of this.steps.get(step)!) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(launch.grid[0], launch.grid[1], launch.grid[2]);
    }
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

  private bind(launch: Launch, pipeline: GPUComputePipeline, substitutes: Substitutes): GPUBindGroup {
    const bufferOf = (index: number): GPUBuffer => substitutes.get(index) ?? this.buffers.gpu[index]!;
    return this.device.createBindGroup({
      label: pipeline.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: launch.buffers.map((index, binding) => ({ binding, resource: { buffer: bufferOf(index) } })),
    });
  }
}
