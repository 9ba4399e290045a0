"""Changes logits before a draw, in two launches: penalties and biases of listed tokens, then a mask over the vocabulary.

Both run only in `sample_adjusted`: a draw without them costs no launch. The second one finds the peaks anew, since sampling passes over whole
blocks by them.
"""
from tvm.script import tirx as T

from .kernel import Kernel, Parameter, ceil_div
from .sample import SIDE, THREADS, reduce_best

# Words of the list before its entries, and of an entry (docs/artifact.md, "Adjustments").
COUNT, MASKED, HEAD = 0, 1, 2
ENTRY = 3
# What a cleared bit leaves of a logit. No threshold of sampling goes below LOWEST, so that not even top-k keeps it.
MASKED_OUT = -3.2e38


def list_words(vocabulary: int) -> int:
    """Words of a list that has room for every token."""
    return HEAD + ENTRY * vocabulary


def mask_words(vocabulary: int) -> int:
    return ceil_div(vocabulary, 32)


@T.inline
def adjust_entry(LOGITS, ADJUSTMENTS, entry):
    """Applies one entry: a factor that takes a logit down whatever its sign, then a term."""
    at: T.int32 = HEAD + entry * ENTRY
    token: T.int32 = ADJUSTMENTS[at]
    factor: T.float32 = T.reinterpret("float32", ADJUSTMENTS[at + 1])
    logit: T.float32 = LOGITS[token]
    LOGITS[token] = T.Select(logit > T.float32(0), logit / factor, logit * factor) + T.reinterpret("float32", ADJUSTMENTS[at + 2])


def is_allowed(ADJUSTMENTS, MASK, index):
    """Whether the mask leaves a token, or there is none."""
    bit = T.bitwise_and(T.shift_right(MASK[T.truncdiv(index, 32)], T.truncmod(index, 32)), 1)
    return T.Or(ADJUSTMENTS[MASKED] == 0, bit != 0)


def adjust_kernel(vocabulary: int) -> Kernel:
    """LOGITS float32[V] of the listed tokens, in place. ADJUSTMENTS: int32[2 + 3 V]; no token stands in it twice."""
    name = f"adjust_v{vocabulary}"
    workgroups = ceil_div(vocabulary, THREADS)

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), ADJUSTMENTS: T.Buffer((list_words(vocabulary),), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for workgroup in T.thread_binding(workgroups, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                if workgroup * THREADS + tx < ADJUSTMENTS[COUNT]:
                    adjust_entry(LOGITS, ADJUSTMENTS, workgroup * THREADS + tx)

    return Kernel(name, func, (workgroups, 1), (Parameter("LOGITS", written=True), Parameter("ADJUSTMENTS", bytes_moved=8)))


def mask_kernel(vocabulary: int, block: int) -> Kernel:
    """LOGITS float32[V] of tokens that MASK does not allow become MASKED_OUT, and PEAKS, as `sample_kernel` has them, those of what is left.

    MASK: int32[ceil(V / 32)]; token t is allowed where bit t mod 32 of word t div 32 is set. A workgroup takes a block.
    """
    blocks = ceil_div(vocabulary, block)
    name = f"mask_v{vocabulary}_b{block}"

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), PEAKS: T.Buffer((blocks,), "float32"),
             ADJUSTMENTS: T.Buffer((list_words(vocabulary),), "int32"), MASK: T.Buffer((mask_words(vocabulary),), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for at in T.thread_binding(blocks, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                values = T.alloc_buffer((THREADS + SIDE,), "float32", scope="shared")
                indices = T.alloc_buffer((THREADS + SIDE,), "int32", scope="shared")
                best = T.alloc_buffer((1,), "float32", scope="local")
                token = T.alloc_buffer((1,), "int32", scope="local")
                best[0] = T.float32(MASKED_OUT)
                token[0] = vocabulary
                for i in T.serial(ceil_div(block, THREADS)):
                    index: T.int32 = at * block + i * THREADS + tx
                    if i * THREADS + tx < block and index < vocabulary:
                        if is_allowed(ADJUSTMENTS, MASK, index):
                            best[0] = T.max(best[0], LOGITS[index])
                        else:
                            LOGITS[index] = T.float32(MASKED_OUT)
                reduce_best(values, indices, tx, best, token)
                if tx == 0:
                    PEAKS[at] = best[0]

    return Kernel(name, func, (blocks, 1), (Parameter("LOGITS", written=True), Parameter("PEAKS", written=True),
                                           Parameter("ADJUSTMENTS", bytes_moved=8), Parameter("MASK")))
