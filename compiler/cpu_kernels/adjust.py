"""What compiler/kernels/adjust.py does, on the CPU: the listed tokens by one thread, the mask and the peaks by all."""
from tvm.script import tirx as T

from ..kernels.adjust import COUNT, MASKED_OUT, adjust_entry, is_allowed, list_words, mask_words
from ..kernels.kernel import Parameter, ceil_div
from .cpu_kernel import CpuKernel


def adjust_kernel(vocabulary: int) -> CpuKernel:
    """LOGITS float32[V] of the tokens listed in ADJUSTMENTS, int32[2 + 3 V], in place."""
    name = f"adjust_v{vocabulary}"

    @T.jit
    def func(logits: T.handle("float32"), adjustments: T.handle("int32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        LOGITS = T.decl_buffer((vocabulary,), "float32", data=logits)
        ADJUSTMENTS = T.decl_buffer((list_words(vocabulary),), "int32", data=adjustments)
        for item in T.serial(last - first):
            for entry in T.serial(ADJUSTMENTS[COUNT]):
                adjust_entry(LOGITS, ADJUSTMENTS, entry)

    return CpuKernel(name, func, 1, (Parameter("LOGITS", written=True), Parameter("ADJUSTMENTS", bytes_moved=8)))


def mask_kernel(vocabulary: int, block: int) -> CpuKernel:
    """LOGITS of tokens that MASK does not allow become MASKED_OUT, and PEAKS are those of what is left; a work item is a block."""
    blocks = ceil_div(vocabulary, block)
    name = f"mask_v{vocabulary}_b{block}"

    @T.jit
    def func(logits: T.handle("float32"), peaks: T.handle("float32"), adjustments: T.handle("int32"), mask: T.handle("int32"),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        LOGITS = T.decl_buffer((vocabulary,), "float32", data=logits)
        PEAKS = T.decl_buffer((blocks,), "float32", data=peaks)
        ADJUSTMENTS = T.decl_buffer((list_words(vocabulary),), "int32", data=adjustments)
        MASK = T.decl_buffer((mask_words(vocabulary),), "int32", data=mask)
        best = T.alloc_buffer((1,), "float32", scope="local")
        for item in T.serial(last - first):
            start: T.int32 = (first + item) * block
            best[0] = T.float32(MASKED_OUT)
            for i in T.serial(T.min(block, vocabulary - start)):
                if is_allowed(ADJUSTMENTS, MASK, start + i):
                    best[0] = T.max(best[0], LOGITS[start + i])
                else:
                    LOGITS[start + i] = T.float32(MASKED_OUT)
            PEAKS[first + item] = best[0]

    return CpuKernel(name, func, blocks, (Parameter("LOGITS", written=True), Parameter("PEAKS", written=True),
                                          Parameter("ADJUSTMENTS", bytes_moved=8), Parameter("MASK")))
