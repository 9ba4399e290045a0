/** Watches a device: what it refuses, and its loss, ends whatever waits for it, so that no command that was dropped passes for a result. */

import { GemletError } from "../errors";

const FILTERS = ["validation", "out-of-memory", "internal"] as const;

/** Does `work`, which only records or submits; `error` is what the GPU refused of it, null for nothing, and never rejects. */
export function scoped<T>(device: GPUDevice, work: () => T): { value: T; error: Promise<Pick<GPUError, "message"> | null> } {
  for (const filter of FILTERS) device.pushErrorScope(filter);
  const pop = (): Promise<(Pick<GPUError, "message"> | null)[]> =>
    // A device that is lost may refuse to tell.
    Promise.all(FILTERS.map(() => device.popErrorScope().catch((cause: Error) => ({ message: cause.message }))));
  let popped: ReturnType<typeof pop> | undefined;
  try {
    const value = work();
    popped = pop();
    return { value, error: popped.then((errors) => errors.find((each) => each !== null) ?? null) };
  } finally {
    if (!popped) void pop();
  }
}

export class DeviceWatch {
  /** Why nothing can be computed any more. */
  failure: GemletError | undefined;
  private reject!: (failure: GemletError) => void;
  private readonly failed = new Promise<never>((_, reject) => (this.reject = reject));
  /** What has run once without an error, as far as is known. */
  private readonly proven = new Set<string>();

  constructor(private readonly device: GPUDevice) {
    this.failed.catch(() => undefined); // whoever waits is told
    void device.lost.then(({ message }) => this.fail(new GemletError("device-lost", `the GPU was lost (${message || "no reason given"})`)));
    device.onuncapturederror = ({ error }) => this.fail(new GemletError("gpu-error", `the GPU refused a command (${error.message})`));
  }

  /** The first failure counts. */
  fail(failure: GemletError): void {
    this.failure ??= failure;
    this.reject(this.failure);
  }

  check(): void {
    if (this.failure) throw this.failure;
  }

  /** As `work` resolves, but rejects with the failure as soon as there is one, also where the device never answers again. */
  async unlessFailed<T>(work: Promise<T>): Promise<T> {
    const value = await Promise.race([work, this.failed]).catch(async (cause: Error) => {
      // A lost device fails what waits for it first and says why a moment later.
      if (!this.failure) await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      throw this.failure ?? new GemletError("gpu-error", `the GPU did not give its result: ${cause.message}`);
    });
    this.check();
    return value;
  }

  /** Does `work` under error scopes where `what` was not done before; then resolves, or fails all, when the GPU has told. */
  first<T>(what: string, work: () => T): { value: T; told: Promise<void> } {
    if (this.proven.has(what)) return { value: work(), told: Promise.resolve() };
    this.proven.add(what);
    const { value, error } = scoped(this.device, work);
    return { value, told: error.then((refused) => void (refused && this.fail(new GemletError("gpu-error", `the GPU refused ${what}: ${refused.message}`)))) };
  }

  /** Buffers were replaced: each step has to show again that it runs. */
  forget(): void {
    this.proven.clear();
  }
}
