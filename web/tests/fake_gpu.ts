/** The little of WebGPU that buffers and devices need, in plain memory. */

export class FakeBuffer {
  destroyed = false;
  readonly bytes: Uint8Array;

  constructor(readonly size: number) {
    this.bytes = new Uint8Array(size);
  }

  destroy(): void {
    this.destroyed = true;
  }
}

export class FakeDevice {
  /** What the next error scopes give, innermost first. */
  errors: (GPUError | null)[] = [];
  readonly queue = { submit: (commands: (() => void)[]) => commands.forEach((command) => command()) };

  asGpu(): GPUDevice {
    return this as unknown as GPUDevice;
  }

  createBuffer({ size }: GPUBufferDescriptor): FakeBuffer {
    return new FakeBuffer(size);
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
export function fakeGpu(limits: Record<string, number> | null): { gpu: GPU; requested: GPUDeviceDescriptor[] } {
  const requested: GPUDeviceDescriptor[] = [];
  const adapter = limits && {
    limits,
    info: { vendor: "acme", architecture: "one", description: "", device: "", isFallbackAdapter: true },
    requestDevice: async (descriptor: GPUDeviceDescriptor) => {
      requested.push(descriptor);
      return new FakeDevice();
    },
  };
  return { gpu: { requestAdapter: async () => adapter } as unknown as GPU, requested };
}
