/** Keeps what KV caches hold in GPU buffers of their own; nothing is read back. */

import type { CacheCopy } from "../backend/backend";
import type { Buffers } from "./buffers";

/** Queues a copy of what was written of `tokens` tokens. Null where the GPU has no memory for it. */
export async function copyCaches(device: GPUDevice, buffers: Buffers, tokens: number): Promise<CacheCopy | null> {
  device.pushErrorScope("out-of-memory");
  const copies = buffers.usedCaches(tokens).map(({ index, bytes }) => {
    const copy = device.createBuffer({ label: "conversation", size: bytes, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    return { index, copy };
  });
  const free = (): void => copies.forEach(({ copy }) => copy.destroy());
  // Of a GPU that was lost meanwhile no scope tells.
  const error = await device.popErrorScope().catch((cause: Error) => cause);
  if (error) {
    free();
    return null;
  }
  const transfer = (encode: (encoder: GPUCommandEncoder, cache: GPUBuffer, copy: GPUBuffer) => void): void => {
    const encoder = device.createCommandEncoder();
    for (const { index, copy } of copies) encode(encoder, buffers.gpu[index]!, copy);
    device.queue.submit([encoder.finish()]);
  };
  transfer((encoder, cache, copy) => encoder.copyBufferToBuffer(cache, 0, copy, 0, copy.size));
  return {
    bytes: copies.reduce((sum, { copy }) => sum + copy.size, 0),
    restore: () => transfer((encoder, cache, copy) => encoder.copyBufferToBuffer(copy, 0, cache, 0, copy.size)),
    free,
  };
}
