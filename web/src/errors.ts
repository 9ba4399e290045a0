/** The one error class of the engine: `code` is for programs, `message` for people. */

export type ErrorCode =
  | "aborted" // the caller's AbortSignal
  | "bad-artifact" // the model's folder does not hold what docs/artifact.md says
  | "bad-request" // a parameter is wrong or not supported
  | "context-overflow" // the prompt does not fit
  | "device-limits" // the GPU, or the browser's memory for WebAssembly, offers less than the model needs
  | "device-lost"
  | "gpu-error" // a shader, a pipeline or memory
  | "network"
  | "no-backend" // nothing here can run this artifact
  | "storage" // the browser's private file system: not there, full, or in use by another tab
  | "unloaded" // the engine was told to unload
  | "worker-failed"
  | "wrong-answers"; // what runs here does not give the model's known answer

/** What can happen to a backend that could be chosen. Another may take its place then. */
const BACKEND_FAILURES: readonly ErrorCode[] = ["device-lost", "gpu-error", "wrong-answers"];

export class GemletError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
    this.name = "GemletError";
  }
}

export function isBackendFailure(error: unknown): error is GemletError {
  return error instanceof GemletError && BACKEND_FAILURES.includes(error.code);
}

/** Throws GemletError "aborted" where the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new GemletError("aborted", "loading was aborted by the caller's signal");
}
