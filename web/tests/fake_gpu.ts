/** The little of WebGPU that buffers and devices need, in plain memory. */

export class FakeBuffer {
  destroyed = false;
  readonly bytes: Uint8Array;

  constructor(
    readonly size: number,
    readonly label = "",
  ) {
    this.bytes = new Uint8Array(size);
  }

  destroy(): void {
    this.destroyed = true;
  }
}

export class FakeDevice {
  /** What the next error scopes give, innermost first. */
  errors: (GPUError | null)[] = [];
  limits = { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 31 };
  readonly lost = new Promise<GPUDeviceLostInfo>(() => undefined);
  readonly buffers: FakeBuffer[] = [];
  readonly queue = {
    submit: (commands: (() => void)[]) => commands.forEach((command) => command()),
    // Numbers count elements, as in WebGPU.
    writeBuffer: ({ bytes }: FakeBuffer, at: number, data: Int32Array | Uint8Array, first = 0, count = data.length - first) => {
      const size = data.BYTES_PER_ELEMENT;
      bytes.set(new Uint8Array(data.buffer, data.byteOffset + first * size, count * size), at);
    },
  };

  asGpu(): GPUDevice {
    return this as unknown as GPUDevice;
  }

  createBuffer({ size, label }: GPUBufferDescriptor): FakeBuffer {
    const buffer = new FakeBuffer(size, label);
    this.buffers.push(buffer);
    return buffer;
  }

  createCommandEncoder() {
    const copies: (() => void)[] = [];
    return {
      copyBufferToBuffer: (from: FakeBuffer, start: number, to: FakeBuffer, at: number, size: number) =>
        copies.push(() => to.bytes.set(from.bytes.subarray(start, start + size), at)),
      finish: () => () => copies.forEach((copy) => copy()),
    };
  }

  pushErrorScope(): void {}

  async popErrorScope(): Promise<GPUError | null> {
    return this.errors.shift() ?? null;
  }
}

/** A GPU whose only adapter offers these limits; null: it has none. */
export function fakeGpu(
  limits: Record<string, number> | null,
  features: string[] = [],
  languageFeatures: string[] = [],
  isFallbackAdapter = true,
): { gpu: GPU; requested: GPUDeviceDescriptor[] } {
  const requested: GPUDeviceDescriptor[] = [];
  const adapter = limits && {
    limits,
    features: new Set(features),
    info: { vendor: "acme", architecture: "one", description: "", device: "", isFallbackAdapter },
    requestDevice: async (descriptor: GPUDeviceDescriptor) => {
      requested.push(descriptor);
      return new FakeDevice();
    },
  };
  const gpu = { requestAdapter: async () => adapter, wgslLanguageFeatures: new Set(languageFeatures) };
  return { gpu: gpu as unknown as GPU, requested };
}
