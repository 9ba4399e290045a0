/** Which shader stands for each kernel: its own, or that of a variant (docs/artifact.md, "Variants"). */

import type { KernelSpec, Launch, Manifest, VariantSpec } from "../artifact/manifest";
import type { ActivationsRequest, KernelsInfo } from "../backend/backend";

/** What a variant requires that is made for the few cores of a processor. */
export const SOFTWARE = "software-adapter";

/** What a variant requires that rounds activations so. */
const ROUNDING: Partial<Record<ActivationsRequest, string>> = { int8: "packed_4x8_integer_dot_product", float16: "shader-f16" };

/** null: the kernel itself. */
export type Choice = VariantSpec | null;

export function hasVariants({ kernels }: Manifest): boolean {
  return kernels.some(({ variants = [] }) => variants.length > 0);
}

/** What some variant of the manifest requires. */
export function requiredByVariants({ kernels }: Manifest): Set<string> {
  return new Set(kernels.flatMap(({ variants = [] }) => variants.flatMap(({ requires }) => requires)));
}

/** Limits by their WebGPU names; undefined: not known of. */
export type Limits = Readonly<Record<string, number | undefined>>;

/** What a variant needs of a device, beside what its kernel does; buffers are the same. */
export function limitsOf({ workgroup: [x, y, z], grid, shared_bytes }: VariantSpec): Record<string, number> {
  return {
    maxComputeInvocationsPerWorkgroup: x * y * z,
    maxComputeWorkgroupSizeX: x,
    maxComputeWorkgroupSizeY: y,
    maxComputeWorkgroupSizeZ: z,
    maxComputeWorkgroupStorageSize: shared_bytes,
    maxComputeWorkgroupsPerDimension: Math.max(...grid),
  };
}

/** Whether a device with these limits runs it. */
export function fits(variant: VariantSpec, limits: Limits): boolean {
  return Object.entries(limitsOf(variant)).every(([name, needed]) => needed <= (limits[name] ?? 0));
}

/** The variants of a kernel that run here, the best first. `offered`: of OpenDevice. */
export function usableVariants(
  { variants = [] }: KernelSpec,
  offered: ReadonlySet<string>,
  limits: Limits,
  activations: ActivationsRequest,
): VariantSpec[] {
  const rounds = ROUNDING[activations];
  const allowed = ({ exact, requires }: VariantSpec): boolean => exact || (rounds !== undefined && requires.includes(rounds));
  return variants.filter((each) => allowed(each) && each.requires.every((feature) => offered.has(feature)) && fits(each, limits));
}

/**
 * What is taken unmeasured: the best of the variants for what not every device can. Other launch shapes have to win first, but on a software adapter: its
 * cores are few, and each of its workgroups costs, so that there the shape with the fewest is taken. `grid`: of the kernel's own launches.
 */
export function unmeasured(usable: readonly VariantSpec[], grid: Launch["grid"], software: boolean): Choice {
  const special = usable.find(({ requires }) => requires.length > 0);
  if (special || !software) return special ?? null;
  const workgroups = ([x, y, z]: Launch["grid"]): number => x * y * z;
  const fewer = usable.filter((each) => workgroups(each.grid) < workgroups(grid));
  return fewer.sort((a, b) => workgroups(a.grid) - workgroups(b.grid))[0] ?? null;
}

export function kernelsInfo(kernels: readonly KernelSpec[], choices: readonly Choice[], tuning: KernelsInfo["tuning"]): KernelsInfo {
  const counts: KernelsInfo["counts"] = {};
  const variants: KernelsInfo["variants"] = {};
  for (const [i, { name }] of kernels.entries()) {
    const choice = choices[i]!;
    const kind = choice === null ? "main" : choice.requires.join(" + ") || "shape";
    counts[kind] = (counts[kind] ?? 0) + 1;
    if (choice) variants[name] = choice.name;
  }
  return { counts, variants, tuning };
}
