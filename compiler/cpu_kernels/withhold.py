"""What compiler/kernels/withhold.py does, on the CPU: before the peaks are found, so that it leaves them alone."""
from tvm.script import tirx as T

from ..kernels.adjust import MASKED_OUT
from ..kernels.kernel import Parameter
from ..kernels.withhold import entry_words, is_withheld
from .cpu_kernel import CpuKernel


def withhold_kernel(vocabulary: int, block: int, entries: int) -> CpuKernel:
    """LOGITS float32[V] of withheld tokens become MASKED_OUT. WITHHELD: of `withheld_table`; a work item is an entry."""
    words = entry_words(block)
    name = f"withhold_v{vocabulary}_b{block}_n{entries}"

    @T.jit
    def func(logits: T.handle("float32"), withheld: T.handle("int32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        LOGITS = T.decl_buffer((vocabulary,), "float32", data=logits)
        WITHHELD = T.decl_buffer((entries * words,), "int32", data=withheld)
        for item in T.serial(last - first):
            start: T.int32 = WITHHELD[(first + item) * words] * block
            for offset in T.serial(T.min(block, vocabulary - start)):
                if is_withheld(WITHHELD, first + item, words, offset):
                    LOGITS[start + offset] = T.float32(MASKED_OUT)

    return CpuKernel(name, func, entries, (Parameter("LOGITS", written=True, bytes_moved=4 * block * entries), Parameter("WITHHELD")))
