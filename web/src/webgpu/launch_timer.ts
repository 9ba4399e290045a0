/** Times launches on the device: by its own clock where it has one for us, else by how long the page waits for them. */

/** The WebGPU feature of that clock. */
export const TIMER = "timestamp-query";

/** What a run should last at least: clocks of browsers tick ten times a millisecond. */
const RUN_MS = 4;
const MOST_REPEATS = 50;

export type EncodeLaunches = (pass: GPUComputePassEncoder) => void;

/** How often launches that take so many milliseconds are to be made in a run, so that it can be timed. */
export function repeatsFor(milliseconds: number): number {
  return Math.max(1, Math.min(MOST_REPEATS, Math.ceil(RUN_MS / milliseconds)));
}

export class LaunchTimer {
  private readonly queries: { set: GPUQuerySet; resolved: GPUBuffer; staging: GPUBuffer } | null;

  constructor(private readonly device: GPUDevice) {
    this.queries = device.features.has(TIMER)
      ? {
          set: device.createQuerySet({ type: "timestamp", count: 2 }),
          resolved: device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC }),
          staging: device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ }),
        }
      : null;
  }

  /** Milliseconds that one time of `repeats` takes. */
  async run(launches: EncodeLaunches, repeats: number): Promise<number> {
    const { queries } = this;
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass(
      queries ? { timestampWrites: { querySet: queries.set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } } : {},
    );
    for (let i = 0; i < repeats; i++) launches(pass);
    pass.end();
    if (queries) {
      encoder.resolveQuerySet(queries.set, 0, 2, queries.resolved, 0);
      encoder.copyBufferToBuffer(queries.resolved, 0, queries.staging, 0, 16);
    }
    const started = performance.now();
    this.device.queue.submit([encoder.finish()]);
    await (queries ? queries.staging.mapAsync(GPUMapMode.READ) : this.device.queue.onSubmittedWorkDone());
    const waited = performance.now() - started;
    if (!queries) return waited / repeats;
    const [begin, end] = new BigUint64Array(queries.staging.getMappedRange());
    const nanoseconds = Number(end! - begin!);
    queries.staging.unmap();
    // Drivers may give nothing.
    return (nanoseconds > 0 ? nanoseconds / 1e6 : waited) / repeats;
  }

  destroy(): void {
    this.queries?.set.destroy();
    this.queries?.resolved.destroy();
    this.queries?.staging.destroy();
  }
}
