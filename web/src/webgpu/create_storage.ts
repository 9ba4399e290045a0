/** A buffer for kernels, which the CPU may write and read as well; `content` starts it. */
export function createStorage(device: GPUDevice, label: string, size: number, content?: Int32Array<ArrayBuffer>): GPUBuffer {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ label, size, usage });
  if (content) device.queue.writeBuffer(buffer, 0, content);
  return buffer;
}
