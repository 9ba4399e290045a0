/** The little of WebGPU that backends need, in plain memory: no shader runs, but what WebGPU says of errors holds. */

/** What every device offers. */
export const DEFAULT_LIMITS = {
  maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 31, maxBindGroups: 4, maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256, maxComputeWorkgroupSizeY: 256, maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65535,
};

export class FakeBuffer {
  destroyed = false;
  readonly bytes: Uint8Array;

  constructor(
    readonly size: number,
    readonly label: string,
    private readonly device: FakeDevice,
  ) {
    this.bytes = new Uint8Array(size);
  }

  destroy(): void {
    this.destroyed = true;
  }

  mapAsync(): Promise<void> {
    return this.device.answers();
  }

  getMappedRange(): ArrayBuffer {
    return this.bytes.buffer as ArrayBuffer;
  }

  unmap(): void {}
}

type Refused = "buffer" | "bind group" | "shader" | "submit";

export class FakeDevice {
  /** What the next error scopes give, innermost first. */
  errors: (GPUError | null)[] = [];
  limits: Record<string, number> = { ...DEFAULT_LIMITS };
  readonly features = new Set<string>();
  onuncapturederror: ((event: { error: { message: string } }) => void) | null = null;
  /** What the device refuses, with the message; what it refuses does nothing. */
  readonly refusals = new Map<Refused, { message: string; filter: GPUErrorFilter }>();
  /** False: nothing that waits for the device is ever answered. */
  isAlive = true;
  /** Submits that were done. */
  submits = 0;
  lose!: (info: { message: string }) => void;
  readonly lost = new Promise<GPUDeviceLostInfo>((resolve) => (this.lose = resolve as never));
  readonly buffers: FakeBuffer[] = [];
  private readonly scopes: { filter: GPUErrorFilter; error: GPUError | null }[] = [];
  readonly queue = {
    submit: (commands: (() => void)[]) => {
      if (this.refuse("submit")) return;
      this.submits += 1;
      commands.forEach((command) => command());
    },
    onSubmittedWorkDone: () => this.answers(),
    // Numbers count elements, as in WebGPU.
    writeBuffer: ({ bytes }: FakeBuffer, at: number, data: Int32Array | Uint8Array | ArrayBuffer, first = 0, count?: number) => {
      const array = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
      const size = array.BYTES_PER_ELEMENT;
      bytes.set(new Uint8Array(array.buffer, array.byteOffset + first * size, (count ?? array.length - first) * size), at);
    },
  };

  asGpu(): GPUDevice {
    return this as unknown as GPUDevice;
  }

  answers(): Promise<void> {
    return this.isAlive ? Promise.resolve() : new Promise(() => undefined);
  }

  createBuffer({ size, label = "" }: GPUBufferDescriptor): FakeBuffer {
    this.refuse("buffer");
    const buffer = new FakeBuffer(size, label, this);
    this.buffers.push(buffer);
    return buffer;
  }

  createBindGroup(): object {
    this.refuse("bind group");
    return {};
  }

  createShaderModule({ code }: { code: string }) {
    const refused = code.includes("no WGSL") || this.refuse("shader");
    if (code.includes("no WGSL")) this.raise("no WGSL", "validation");
    return { refused, getCompilationInfo: async () => ({ messages: refused ? [{ type: "error", lineNum: 1, linePos: 2, message: "no WGSL" }] : [] }) };
  }

  async createComputePipelineAsync({ label, compute: { module } }: { label: string; compute: { module: { refused: boolean } } }) {
    if (module.refused) throw new Error("the module is invalid");
    return { label, getBindGroupLayout: () => ({}) };
  }

  createCommandEncoder() {
    const copies: (() => void)[] = [];
    return {
      beginComputePass: () => ({ setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} }),
      copyBufferToBuffer: (from: FakeBuffer, start: number, to: FakeBuffer, at: number, size: number) =>
        copies.push(() => to.bytes.set(from.bytes.subarray(start, start + size), at)),
      finish: () => () => copies.forEach((copy) => copy()),
    };
  }

  pushErrorScope(filter: GPUErrorFilter): void {
    this.scopes.push({ filter, error: null });
  }

  async popErrorScope(): Promise<GPUError | null> {
    return this.scopes.pop()?.error ?? this.errors.shift() ?? null;
  }

  destroy(): void {}

  private refuse(what: Refused): boolean {
    const refusal = this.refusals.get(what);
    if (refusal) this.raise(refusal.message, refusal.filter);
    return refusal !== undefined;
  }

  /** To the innermost scope of its kind, else to the page. */
  private raise(message: string, filter: GPUErrorFilter): void {
    const scope = this.scopes.findLast((each) => each.filter === filter);
    if (scope) scope.error ??= { message };
    else this.onuncapturederror?.({ error: { message } });
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
