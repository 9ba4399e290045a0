/** Compiles the Program's shaders, all at once. */

import type { KernelSpec } from "../artifact/manifest";
import type { ArtifactSource } from "../backend/backend";
import { GemletError } from "../errors";

/** One pipeline a kernel, in the manifest's order. Throws GemletError "gpu-error" that names the kernel. */
export function createPipelines(device: GPUDevice, source: ArtifactSource): Promise<GPUComputePipeline[]> {
  return Promise.all(
    source.manifest.kernels.map(async (kernel) => {
      const pipeline = await createPipeline(device, kernel, await source.text(kernel.file));
      source.onKernel();
      return pipeline;
    }),
  );
}

async function createPipeline(device: GPUDevice, kernel: KernelSpec, code: string): Promise<GPUComputePipeline> {
  const module = device.createShaderModule({ label: kernel.name, code });
  try {
    return await device.createComputePipelineAsync({
      label: kernel.name,
      layout: "auto",
      compute: { module, entryPoint: kernel.entry },
    });
  } catch (cause) {
    const { messages } = await module.getCompilationInfo();
    const lines = messages
      .filter((message) => message.type === "error")
      .map((message) => `${kernel.file}:${message.lineNum}:${message.linePos} ${message.message}`);
    throw new GemletError(
      "gpu-error",
      `the kernel ${kernel.name} does not compile on this GPU: ${lines.join("; ") || (cause as Error).message}`,
    );
  }
}
