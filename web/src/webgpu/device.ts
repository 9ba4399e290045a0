/** Finds the GPU and opens a device with the limits that the manifest asks for. */

import type { Manifest } from "../artifact/manifest";
import { GemletError } from "../errors";
import { TIMER } from "./launch_timer";
import { hasVariants, limitsOf, requiredByVariants, SOFTWARE } from "./variants";

export interface OpenDevice {
  device: GPUDevice;
  /** The hardware, for people. */
  adapter: string;
  /** What tells this adapter, with this driver, from others. */
  identity: string;
  /** Whether it computes on the processor. */
  software: boolean;
  /** What variants of kernels may require here: features of the device and of the language of shaders, and SOFTWARE. */
  offered: ReadonlySet<string>;
}

export interface FoundAdapter {
  gpu: GPU;
  adapter: GPUAdapter;
  /** Whether it computes on the processor. */
  software: boolean;
}

const BROWSERS =
  "gemlet runs on WebGPU in Chrome and Edge 116 or newer (Android: Chrome 121), Safari 26, and Firefox 141 on Windows or 145 on macOS";

/**
 * The adapter that is to run the manifest. Throws GemletError "no-backend" where there is no WebGPU or no adapter, "device-limits" where the adapter
 * offers less than `manifest.limits`, naming each with needed and offered.
 */
export async function findAdapter(manifest: Manifest, gpu: GPU | undefined = navigator.gpu): Promise<FoundAdapter> {
  if (!gpu) {
    const reason = globalThis.isSecureContext
      ? "this browser has no WebGPU"
      : "WebGPU needs a secure page (https, or localhost), and this page is not";
    throw new GemletError("no-backend", `${reason}. ${BROWSERS}.`);
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new GemletError(
      "no-backend",
      "this browser has WebGPU but offers no GPU for it. Update the graphics driver, and see that hardware acceleration " +
        `is switched on in the browser's settings. ${BROWSERS}.`,
    );
  }
  const offered = offeredLimits(adapter);
  const missing = Object.entries(manifest.limits).filter(([name, needed]) => (offered[name] ?? 0) < needed);
  if (missing.length > 0) {
    const list = missing.map(([name, needed]) => `${name}: needed ${needed}, offered ${offered[name] ?? "nothing"}`);
    throw new GemletError(
      "device-limits",
      `this GPU cannot run ${manifest.name}: ${list.join("; ")}. Take a smaller model, or compile it with a smaller context`,
    );
  }
  return { gpu, adapter, software: adapter.info.isFallbackAdapter };
}

/**
 * Where tables are larger than the manifest's limits, or variants of kernels need more, the device gets as much more as the adapter offers. Of features it gets
 * those that variants of kernels require, and the timer, where the adapter has them. Throws GemletError "gpu-error" where there is no device to be had.
 */
export async function openDevice(manifest: Manifest, { gpu, adapter, software }: FoundAdapter): Promise<OpenDevice> {
  const offered = offeredLimits(adapter);
  const widest = Math.max(0, ...manifest.tables.flatMap((table) => table.buffers.map((index) => manifest.buffers[index]!.bytes)));
  const requiredLimits = { ...manifest.limits };
  const raise = (name: string, needed: number): void => {
    const wanted = Math.min(needed, offered[name] ?? 0);
    if (wanted > (requiredLimits[name] ?? 0)) requiredLimits[name] = wanted;
  };
  for (const name of ["maxStorageBufferBindingSize", "maxBufferSize"]) raise(name, widest);
  // Where the adapter offers less than a variant needs, the variant is left out.
  const variants = manifest.kernels.flatMap(({ variants = [] }) => variants);
  for (const variant of variants) for (const [name, needed] of Object.entries(limitsOf(variant))) raise(name, needed);
  const required = requiredByVariants(manifest);
  const features = hasVariants(manifest) ? [...required, TIMER].filter((name) => adapter.features.has(name)) : [];
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures: features as GPUFeatureName[] }).catch((cause: Error) => {
    throw new GemletError("gpu-error", `the GPU gave no device: ${cause.message}`);
  });
  const has = (name: string): boolean =>
    name === SOFTWARE ? software : adapter.features.has(name) || (gpu.wgslLanguageFeatures?.has(name) ?? false);
  const available = new Set([...required].filter(has));
  const { vendor, architecture, device: model, description } = adapter.info;
  const identity = JSON.stringify([vendor, architecture, model, description]);
  return { device, adapter: describe(adapter.info), identity, software, offered: available };
}

function offeredLimits(adapter: GPUAdapter): Record<string, number | undefined> {
  return adapter.limits as unknown as Record<string, number | undefined>;
}

/** The hardware, for people. */
export function describe(info: GPUAdapterInfo): string {
  const words = [info.vendor, info.architecture, info.description || info.device].filter((word) => word);
  return (words.join(" ") || "an unnamed GPU") + (info.isFallbackAdapter ? " (software)" : "");
}
