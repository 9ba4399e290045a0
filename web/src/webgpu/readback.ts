/** Brings copies of a GPU buffer to the CPU, through staging buffers that are used again and again. */

/** To be called after the submit: resolves with the bytes that were copied. */
export type Read = () => Promise<ArrayBuffer>;

export class Readback {
  private readonly free: GPUBuffer[] = [];
  private readonly all: GPUBuffer[] = [];

  constructor(
    private readonly device: GPUDevice,
    private readonly source: GPUBuffer,
    private readonly offset = 0,
    private readonly bytes = source.size,
  ) {}

  /** Adds the copy to `encoder`. */
  encode(encoder: GPUCommandEncoder): Read {
    const staging = this.free.pop() ?? this.allocate();
    encoder.copyBufferToBuffer(this.source, this.offset, staging, 0, this.bytes);
    return async () => {
      await staging.mapAsync(GPUMapMode.READ);
      const bytes = staging.getMappedRange().slice(0);
      staging.unmap();
      this.free.push(staging);
      return bytes;
    };
  }

  destroy(): void {
    for (const buffer of this.all) buffer.destroy();
  }

  private allocate(): GPUBuffer {
    const buffer = this.device.createBuffer({
      label: `${this.source.label} read-back`,
      size: this.bytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.all.push(buffer);
    return buffer;
  }
}
