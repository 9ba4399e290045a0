/** Chooses what stands for each kernel, as the page asks: unmeasured, from memory, or by trying it out on the device. */

import type { KernelSpec } from "../artifact/manifest";
import { mapOf, text } from "../artifact/check_shape";
import { DeviceMemory } from "../artifact/device_memory";
import type { ActivationsRequest, ArtifactSource, KernelsInfo, KernelsRequest } from "../backend/backend";
import type { OpenDevice } from "./device";
import { Pipelines } from "./kernels";
import { LaunchTimer, repeatsFor } from "./launch_timer";
import type { Program } from "./program";
import { type Contest, planContests, type Ready, tune } from "./tuner";
import { type Choice, hasVariants, kernelsInfo, type Limits, unmeasured, usableVariants } from "./variants";

/** Launches of a kernel that a run makes, each with weights of its own: else a cache could hold what a token has to fetch from memory. */
const MOST_LAUNCHES = 4;

/** Name of the winner by name of the kernel; a kernel that won over its variants has its own. */
type Winners = Record<string, string>;

type Adapter = Pick<OpenDevice, "identity" | "offered" | "software">;

export class Tuning {
  /** What stands for each kernel now. */
  readonly choices: Choice[];
  private readonly source: KernelsInfo["tuning"]["source"];
  private readonly contests: Contest[];
  /** Of all shaders; those of contests are fetched while weights are loaded. */
  readonly pipelines: Pipelines;
  private spent = { kernels: 0, milliseconds: 0 };

  /** How long it may take; undefined: as long as ever. */
  private readonly milliseconds: number | undefined;

  private constructor(
    private readonly device: GPUDevice,
    private readonly artifact: ArtifactSource,
    private readonly memory: DeviceMemory<Winners> | null,
    private readonly request: KernelsRequest,
    { offered, software }: Adapter,
    remembered: Winners | null,
  ) {
    const { manifest } = artifact;
    const grids = new Map(Object.values(manifest.steps).flatMap((launches) => launches.map(({ kernel, grid }) => [kernel, grid] as const)));
    const usable = manifest.kernels.map((kernel) => usableVariants(kernel, offered, device.limits as unknown as Limits, request.activations));
    const { tuning } = request;
    this.contests = [];
    if (tuning === "off") {
      this.choices = usable.map(() => null);
      this.source = "off";
    } else if (tuning !== "auto" && "variant" in tuning) {
      const wanted = manifest.kernels.map(({ variants = [] }) => variants[tuning.variant]);
      this.choices = usable.map((variants, i) => variants.find((variant) => variant === wanted[i]) ?? null);
      this.source = "forced";
    } else {
      if (tuning !== "auto") this.milliseconds = tuning.milliseconds;
      this.choices = usable.map((variants, i) => {
        const winner = remembered?.[manifest.kernels[i]!.name];
        return winner === undefined ? unmeasured(variants, grids.get(i)!, software) : (variants.find(({ name }) => name === winner) ?? null);
      });
      if (!remembered) this.contests = planContests(manifest, usable, this.choices);
      this.source = remembered ? "remembered" : this.contests.length > 0 ? "measured" : "none";
    }
    this.pipelines = new Pipelines(device, artifact);
    for (const { kernel, candidates } of this.contests) {
      for (const choice of candidates) void this.pipelines.fetch(choice ?? manifest.kernels[kernel]!);
    }
  }

  static async begin(device: GPUDevice, artifact: ArtifactSource, request: KernelsRequest, adapter: Adapter): Promise<Tuning> {
    const { identity, offered } = adapter;
    const { manifest } = artifact;
    const { tuning } = request;
    const measures = hasVariants(manifest) && (tuning === "auto" || (tuning !== "off" && "milliseconds" in tuning));
    const subject = JSON.stringify([manifest, [...offered].sort(), request.activations]);
    const memory = measures ? await DeviceMemory.of<Winners>("tuning", identity, manifest.name, subject, mapOf(text)) : null;
    return new Tuning(device, artifact, memory, request, adapter, (tuning === "auto" && (await memory?.recall())) || null);
  }

  /**
   * Lets each kernel stand for itself, as from now on whenever this model is loaded here; what the page forced stays. Resolves with whether anything
   * changed. Throws GemletError "gpu-error".
   */
  async takeBack(program: Program): Promise<boolean> {
    const changed = this.strict ? [] : [...this.choices.keys()].filter((kernel) => this.choices[kernel] !== null);
    const { kernels } = this.artifact.manifest;
    const pipelines = await Promise.all(changed.map((kernel) => this.pipelines.of(kernels[kernel]!)));
    for (const [i, kernel] of changed.entries()) {
      this.choices[kernel] = null;
      program.use(kernel, pipelines[i]!, null);
    }
    this.pipelines.clear();
    if (changed.length > 0) await this.memory?.keep(Object.fromEntries(kernels.map(({ name }) => [name, name])));
    return changed.length > 0;
  }

  /** Whether each choice has to compile. */
  get strict(): boolean {
    return this.source === "forced";
  }

  /** What products make of their activations: what was asked for, where a variant does so. */
  get activations(): ActivationsRequest {
    return this.choices.some((choice) => choice && !choice.exact) ? this.request.activations : "float";
  }

  info(kernels: readonly KernelSpec[]): KernelsInfo {
    return kernelsInfo(kernels, this.choices, { source: this.source, ...this.spent });
  }

  /**
   * Tries kernels out on the program's buffers, and lets it use what wins. Only scratch memory and caches are written, and a state that `prefill` writes
   * anew. `setState` prepares that state for a step. Throws GemletError "gpu-error".
   */
  async measure(program: Program, setState: (step: string) => void): Promise<void> {
    if (this.contests.length === 0) return this.pipelines.clear();
    const { kernels } = this.artifact.manifest;
    const started = performance.now();
    const timer = new LaunchTimer(this.device);
    const pipelines = new Map<number, GPUComputePipeline[]>();
    const ready: Ready = async ({ kernel, step, candidates }, signal) => {
      const made = await Promise.all(
        candidates.map((choice, i) => (i === 0 ? program.pipelineOf(kernel) : this.pipelines.of(choice ?? kernels[kernel]!))),
      );
      pipelines.set(kernel, made);
      const launches = made.map((pipeline, i) => program.excerpt(kernel, step, MOST_LAUNCHES, pipeline, candidates[i]!));
      // By then a conversation may have begun, which owns the buffers.
      signal.throwIfAborted();
      setState(step);
      for (const encode of launches) {
        await timer.run(encode, 1); // the first time, drivers make things ready
        signal.throwIfAborted();
      }
      const repeats = repeatsFor(await timer.run(launches[0]!, 1));
      return launches.map((encode) => () => timer.run(encode, repeats));
    };
    const winners = await tune(this.contests, ready, this.milliseconds).finally(() => timer.destroy());
    this.pipelines.clear();
    for (const { kernel, candidates } of this.contests) {
      const choice = winners.get(kernel);
      if (choice === undefined || choice === this.choices[kernel]) continue;
      this.choices[kernel] = choice;
      program.use(kernel, pipelines.get(kernel)![candidates.indexOf(choice)]!, choice);
    }
    this.spent = { kernels: winners.size, milliseconds: performance.now() - started };
    const names = this.contests.map(({ kernel }) => [kernels[kernel]!.name, (this.choices[kernel] ?? kernels[kernel]!).name]);
    await this.memory?.keep(Object.fromEntries(names) as Winners);
  }
}
