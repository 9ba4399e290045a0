"""CPU kernels as WebAssembly object files, through TVM's LLVM: raw functions, without TVM's packed calls or imports."""
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tvm
from tvm import s_tir, tirx

from ..cpu_kernels.cpu_kernel import RELAXED, CpuKernel
from .kernel_cache import kept

PIPELINE = "gemlet_wasm"
FEATURES = ("+simd128", "+atomics", "+bulk-memory")


def lowering_pipeline():
    """TVM's passes for loops over flat buffers, without those that wrap a function for TVM's runtime."""
    passes = [
        s_tir.transform.LowerOpaqueBlock(), s_tir.transform.StmtSimplify(), tirx.transform.FlattenBuffer(), tirx.transform.NarrowDataType(32),
        tirx.transform.VectorizeLoop(True), tirx.transform.StorageRewrite(), tirx.transform.UnrollLoop(), tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(), tirx.transform.CommonSubexprElim(), tirx.transform.AnnotateEntryFunc(),
    ]

    @tvm.transform.module_pass(opt_level=0)
    def lower(module, _context):
        return tvm.ir.transform.Sequential(passes)(module)

    _, _, device = tirx.compilation_pipeline.default_tir_pipeline()
    return lower, lambda: tvm.ir.transform.Sequential([tirx.transform.LowerIntrin()]), device


tirx.compilation_pipeline.register_tir_pipeline(PIPELINE, lowering_pipeline)


@dataclass(frozen=True)
class CpuObject:
    """code: an object file with the kernel's function. signature: a name for each pointer that it takes, in order."""

    code: bytes
    signature: tuple[str, ...]


@cache
def compiled(kernel: CpuKernel, simd: str) -> CpuObject:
    """The kernel's object file; done once for all compiles. simd: RELAXED or SIMD128, what its instructions may be."""

    def make() -> bytes:
        signature = json.dumps(kernel.signature)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "kernel.o"
            compile_kernel(kernel, simd).write_to_file(str(place), "o")
            return signature.encode() + b"\n" + place.read_bytes()

    signature, code = kept(kernel.function, f"wasm {simd} {kernel.name} {kernel.parameters}", make).split(b"\n", 1)
    return CpuObject(code, tuple(json.loads(signature)))


def compile_kernel(kernel: CpuKernel, simd: str):
    """A TVM module of the kernel, a function of its name."""
    features = [*FEATURES, *(["+relaxed-simd"] if simd == RELAXED else [])]
    target = tvm.target.Target({"kind": "llvm", "mtriple": "wasm32-unknown-unknown-wasm", "mattr": features, "vector-width": 128})
    return tvm.compile(tvm.IRModule({kernel.name: kernel.prim_func}), target=target, tir_pipeline=PIPELINE).mod
