/** The one place that decides which backend runs an artifact. */

import type { Manifest } from "../artifact/manifest";
import { GemletError } from "../errors";
import { openDevice } from "../webgpu/device";
import { WebGpuBackend } from "../webgpu/webgpu_backend";
import type { Backend, BackendName } from "./backend";

export type BackendRequest = "auto" | BackendName;

/** Throws GemletError "bad-request" for an unknown name, "no-backend" or "device-limits" where it cannot run here. */
export async function chooseBackend(request: BackendRequest, manifest: Manifest): Promise<Backend> {
  switch (request) {
    case "auto":
      return new WebGpuBackend(await openDevice(manifest), manifest, "the artifact holds WebGPU kernels only");
    case "webgpu":
      return new WebGpuBackend(await openDevice(manifest), manifest, "asked for");
    case "wasm":
      throw new GemletError("no-backend", `the artifact ${manifest.name} has no wasm target; load it with backend "webgpu"`);
    default:
      throw new GemletError("bad-request", `backend: expected "auto", "webgpu" or "wasm", found ${JSON.stringify(request)}`);
  }
}
