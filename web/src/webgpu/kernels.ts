/** Compiles the Program's shaders, all at once. */

import type { ShaderSpec } from "../artifact/manifest";
import type { ArtifactSource } from "../backend/backend";
import { GemletError } from "../errors";
import type { Choice } from "./variants";

/**
 * One pipeline a kernel, in the manifest's order, each as `choices` says; a choice that this device does not compile is taken back there, unless
 * `strict`. Throws GemletError "gpu-error" that names the kernel.
 */
export function createPipelines(device: GPUDevice, source: ArtifactSource, choices: Choice[], strict: boolean): Promise<GPUComputePipeline[]> {
  const create = async (shader: ShaderSpec): Promise<GPUComputePipeline> => createPipeline(device, shader, await source.text(shader.file));
  return Promise.all(
    source.manifest.kernels.map(async (kernel, i) => {
      const choice = choices[i]!;
      const pipeline = await create(choice ?? kernel).catch((error: unknown) => {
        if (!choice || strict || !(error instanceof GemletError) || error.code !== "gpu-error") throw error;
        choices[i] = null;
        return create(kernel);
      });
      source.onPart();
      return pipeline;
    }),
  );
}

/** Throws GemletError "gpu-error" that names the kernel. */
export async function createPipeline(device: GPUDevice, { name, file, entry }: ShaderSpec, code: string): Promise<GPUComputePipeline> {
  const module = device.createShaderModule({ label: name, code });
  try {
    return await device.createComputePipelineAsync({ label: name, layout: "auto", compute: { module, entryPoint: entry } });
  } catch (cause) {
    const { messages } = await module.getCompilationInfo();
    const lines = messages
      .filter((message) => message.type === "error")
      .map((message) => `${file}:${message.lineNum}:${message.linePos} ${message.message}`);
    throw new GemletError("gpu-error", `the kernel ${name} does not compile on this GPU: ${lines.join("; ") || (cause as Error).message}`);
  }
}
