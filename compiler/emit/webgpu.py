"""A kernel's TIR as WGSL, through TVM's `webgpu` target.

TVM spreads a large grid over z and guards it with a uniform, because its runtime does not know the grid when it
compiles. Here every grid is static and within WebGPU's limit, so that machinery is cut out of the text again: a launch
binds storage buffers only.
"""
import json
import re
from dataclasses import asdict, dataclass
from functools import cache

import tvm
from tvm import s_tir, tirx

from ..errors import GemletError
from ..kernels.kernel import FEATURES, MAX_SHARED_BYTES, MAX_THREADS, Kernel, Parameter
from .kernel_cache import kept
from .limits import MAX_GRID, check_needs, shader_needs

# TVM is told of more workgroup memory than there is, since limits.py refuses what is too much by the kernel's name.
TARGET = {"kind": "webgpu", "max_num_threads": MAX_THREADS, "max_shared_memory_per_block": 64 * MAX_SHARED_BYTES}
HOST = {"kind": "llvm", "mtriple": "wasm32-unknown-unknown-wasm", "vector-width": 128}

PIPELINE = "gemlet_webgpu"

BINDING = re.compile(r"@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+)_ptr : ")
WORKGROUP = re.compile(r"@compute @workgroup_size\((\d+), (\d+), (\d+)\)")
GRID_UNIFORM = re.compile(r"struct PODArgs \{\n  packGridDimX: u32\n\}\n@group\(0\) @binding\(\d+\) var<uniform> podArgs : PODArgs;\n\n")
GRID_GUARD = "  if (blockIdx.z * gridDim.x + blockIdx.x > podArgs.packGridDimX) { return; }\n"
GRID_BUILTIN = "  @builtin(num_workgroups) gridDim : vec3<u32>,\n"
SPREAD_INDEX = "(blockIdx.z * gridDim.x + blockIdx.x)"
SPREAD_INDEX_CAST = "i32(blockIdx.z * gridDim.x + blockIdx.x)"


def lowering_pipeline():
    """TVM's own passes for GPU kernels, without the automatic barriers: each kernel here places its barriers itself."""
    passes = [
        s_tir.transform.LowerOpaqueBlock(), s_tir.transform.StmtSimplify(), tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32), tirx.transform.VectorizeLoop(True), tirx.transform.StorageRewrite(),
        tirx.transform.UnrollLoop(), tirx.transform.StmtSimplify(), tirx.transform.RemoveNoOp(),
        tirx.transform.CommonSubexprElim(), tirx.transform.VerifyMemory(), tirx.transform.AnnotateEntryFunc(),
        tirx.transform.SplitHostDevice(), tirx.transform.MakePackedAPI(),
    ]

    @tvm.transform.module_pass(opt_level=0)
    def lower(module, _context):
        return tvm.ir.transform.Sequential(passes)(module)

    _, finalize_host, finalize_device = tirx.compilation_pipeline.default_tir_pipeline()
    return lower, finalize_host, finalize_device


tirx.compilation_pipeline.register_tir_pipeline(PIPELINE, lowering_pipeline)


@dataclass(frozen=True)
class Shader:
    """bindings: parameter names by binding number. written: names declared `read_write`."""

    wgsl: str
    entry: str
    workgroup: tuple[int, int, int]
    bindings: list[str]
    written: set[str]

    @property
    def needs(self) -> dict[str, int]:
        """The limits that a device must offer, by their WebGPU names."""
        return shader_needs(len(self.bindings), self.workgroup, self.wgsl)


def emit_kernel(kernel: Kernel) -> Shader:
    """Compiles one kernel to WGSL; kernels of one shader, in all models compiled in one process, share the work.

    Raises GemletError where the text binds other buffers, or writes others, than the kernel declares, or where the
    grid or the text is beyond WebGPU's default limits.
    """
    if not all(0 < extent <= MAX_GRID for extent in kernel.grid):
        raise GemletError(f"kernel {kernel.name}: grid {kernel.grid}, but WebGPU launches 1 to {MAX_GRID} workgroups a dimension")
    bindings = tuple(Parameter(parameter.name, parameter.written) for parameter in kernel.parameters)
    return compiled(Kernel(kernel.shader, kernel.function, (1, 1), bindings, requires=kernel.requires))


def compile_kernel(kernel: Kernel) -> Shader:
    """The shader of a kernel that has its name."""
    module = tvm.compile(tvm.IRModule({kernel.name: kernel.prim_func}), target=tvm.target.Target(TARGET, host=HOST),
                         tir_pipeline=PIPELINE).mod
    wgsl = without_grid_uniform(kernel.name, module.imports[0].inspect_source())
    found = sorted((int(number), name, access) for number, access, name in BINDING.findall(wgsl))
    bindings = [name for _, name, _ in found]
    written = {name for _, name, access in found if access == "read_write"}
    declared = {parameter.name: parameter.written for parameter in kernel.parameters}
    if {name: name in written for name in bindings} != declared:
        raise GemletError(f"kernel {kernel.name}: the WGSL binds {bindings} and writes {sorted(written)}, "
                          f"but the kernel declares {declared} (name: written)")
    workgroup = tuple(int(extent) for extent in WORKGROUP.search(wgsl).groups())
    check_needs(kernel.name, shader_needs(len(bindings), workgroup, wgsl))
    # TVM writes that of float16 itself.
    wgsl = "".join(FEATURES[feature] + "\n" for feature in kernel.requires if FEATURES[feature] not in wgsl) + wgsl
    return Shader(wgsl, kernel.name + "_kernel", workgroup, bindings, written)


@cache
def compiled(kernel: Kernel) -> Shader:
    """`compile_kernel`, done once for all compiles."""

    def make() -> bytes:
        shader = compile_kernel(kernel)
        return json.dumps(asdict(shader) | {"written": sorted(shader.written)}).encode()

    content = json.loads(kept(kernel.function, f"webgpu {kernel.name} {kernel.parameters} {kernel.requires}", make))
    return Shader(content["wgsl"], content["entry"], tuple(content["workgroup"]), content["bindings"], set(content["written"]))


def emit_with_variants(kernel: Kernel) -> dict[str, Shader]:
    """The shaders of a kernel and of its variants, by name, the kernel's own first.

    Raises GemletError where a variant could not stand in the kernel's place, since it binds or writes other buffers.
    """
    main = emit_kernel(kernel)
    shaders = {kernel.name: main}
    for variant in kernel.variants:
        shader = shaders[variant.name] = emit_kernel(variant)
        if (shader.bindings, shader.written) != (main.bindings, main.written):
            raise GemletError(f"kernel {kernel.name}: its variant {variant.name} binds {shader.bindings} and writes {sorted(shader.written)}, "
                              f"but the kernel itself binds {main.bindings} and writes {sorted(main.written)}")
    return shaders


def without_grid_uniform(name: str, wgsl: str) -> str:
    """Removes TVM's `packGridDimX` uniform, its guard and the spreading over z."""
    text = GRID_UNIFORM.sub("", wgsl).replace(GRID_GUARD, "").replace(GRID_BUILTIN, "")
    text = text.replace(SPREAD_INDEX_CAST, "i32(blockIdx.x)").replace(SPREAD_INDEX, "blockIdx.x")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("//")) + "\n"
    for rest in ("podArgs", "gridDim"):
        if rest in text:
            raise GemletError(f"kernel {name}: `{rest}` is left in the WGSL; TVM's WebGPU text has changed, "
                              "compiler/emit/webgpu.py must follow it")
    return text.strip() + "\n"
