"""CPU kernels as one WebAssembly object file, through TVM's LLVM: raw functions, without TVM's packed calls or imports."""
import tvm
from tvm import s_tir, tirx

from ..cpu_kernels.cpu_kernel import RELAXED, CpuKernel

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


def compile_kernels(kernels: list[CpuKernel], simd: str):
    """A TVM module of all the kernels, each a function of its name. simd: RELAXED or SIMD128, what its instructions may be."""
    features = [*FEATURES, *(["+relaxed-simd"] if simd == RELAXED else [])]
    target = tvm.target.Target({"kind": "llvm", "mtriple": "wasm32-unknown-unknown-wasm", "mattr": features, "vector-width": 128})
    functions = {kernel.name: kernel.prim_func for kernel in kernels}
    return tvm.compile(tvm.IRModule(functions), target=target, tir_pipeline=PIPELINE).mod
