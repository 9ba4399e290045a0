/** Compiles the Program's shaders, all at once. */

import type { ShaderSpec } from "../artifact/manifest";
import type { ArtifactSource } from "../backend/backend";
import { GemletError } from "../errors";
import { scoped } from "./device_watch";
import type { Choice } from "./variants";

/** Makes the pipeline of each shader once, however many kernels have it. */
export class Pipelines {
  private readonly texts = new Map<string, Promise<string>>();
  private readonly made = new Map<string, Promise<GPUComputePipeline>>();

  constructor(
    private readonly device: GPUDevice,
    private readonly source: ArtifactSource,
  ) {}

  /** Fetches the text of a shader, so that it is there once the pipeline is asked for. */
  fetch({ file }: ShaderSpec): Promise<string> {
    const text = this.texts.get(file) ?? this.source.text(file);
    text.catch(() => undefined); // it is awaited later
    this.texts.set(file, text);
    return text;
  }

  /** Rejects with GemletError "gpu-error" that names the kernel. */
  of(shader: ShaderSpec): Promise<GPUComputePipeline> {
    const pipeline = this.made.get(shader.file) ?? this.fetch(shader).then((code) => createPipeline(this.device, shader, code));
    this.made.set(shader.file, pipeline);
    return pipeline;
  }

  /** Lets go of what only this remembers. */
  clear(): void {
    this.texts.clear();
    this.made.clear();
  }
}

/**
 * One pipeline a kernel, in the manifest's order, each as `choices` says; a choice that this device does not compile is taken back there, unless
 * `strict`. Throws GemletError "gpu-error" that names the kernel.
 */
export function createPipelines(made: Pipelines, source: ArtifactSource, choices: Choice[], strict: boolean): Promise<GPUComputePipeline[]> {
  return Promise.all(
    source.manifest.kernels.map(async (kernel, i) => {
      const choice = choices[i]!;
      const pipeline = await made.of(choice ?? kernel).catch((error: unknown) => {
        if (!choice || strict || !(error instanceof GemletError) || error.code !== "gpu-error") throw error;
        choices[i] = null;
        return made.of(kernel);
      });
      source.onPart();
      return pipeline;
    }),
  );
}

async function createPipeline(device: GPUDevice, { name, file, entry }: ShaderSpec, code: string): Promise<GPUComputePipeline> {
  // A text that is refused must not end the device's other work: another shader may stand in this one's place.
  const { value: module, error } = scoped(device, () => device.createShaderModule({ label: name, code }));
  try {
    const making = device.createComputePipelineAsync({ label: name, layout: "auto", compute: { module, entryPoint: entry } });
    const [pipeline, refused] = await Promise.all([making, error]);
    if (refused) throw new Error(refused.message);
    return pipeline;
  } catch (cause) {
    const { messages } = await module.getCompilationInfo();
    const lines = messages
      .filter((message) => message.type === "error")
      .map((message) => `${file}:${message.lineNum}:${message.linePos} ${message.message}`);
    throw new GemletError("gpu-error", `the kernel ${name} does not compile on this GPU: ${lines.join("; ") || (cause as Error).message}`);
  }
}
