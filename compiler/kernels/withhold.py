"""Takes tokens out of a draw that have no text: rows of an embedding that is larger than the tokenizer, and ids that it leaves out.

A launch before the draw, only in models that have such ids: their logits become MASKED_OUT, and the peaks of their blocks those of what is
left, as `mask_kernel` does it with what a request forbids. Until then `logits` holds the model's own values.
"""
import numpy as np
from tvm.script import tirx as T

from .adjust import MASKED_OUT
from .kernel import Kernel, Parameter, ceil_div
from .sample import SIDE, THREADS, reduce_best

Ranges = tuple[tuple[int, int], ...]


def entry_words(block: int) -> int:
    """Words of an entry of the table: the block's number, and a bit for each of its logits."""
    return 1 + ceil_div(block, 32)


def withheld_table(withheld: Ranges, vocabulary: int, block: int) -> np.ndarray:
    """int32[blocks that have withheld ids, entry_words(block)]. withheld: (first, end) of ids; a set bit withholds one."""
    bits = np.zeros((ceil_div(vocabulary, block), 32 * (entry_words(block) - 1)), np.uint8)
    ids = np.concatenate([np.arange(first, end) for first, end in withheld])
    bits[ids // block, ids % block] = 1
    touched = np.flatnonzero(bits.any(axis=1)).astype(np.int32)
    words = np.packbits(bits[touched], axis=1, bitorder="little").view(np.int32)
    return np.concatenate([touched[:, None], words], axis=1)


def is_withheld(WITHHELD, entry, words, offset):
    """Whether an entry withholds the logit at this offset in its block."""
    bit = T.bitwise_and(T.shift_right(WITHHELD[entry * words + 1 + T.truncdiv(offset, 32)], T.truncmod(offset, 32)), 1)
    return bit != 0


def withhold_kernel(vocabulary: int, block: int, entries: int) -> Kernel:
    """LOGITS float32[V] of withheld tokens become MASKED_OUT, and PEAKS, as `sample_kernel` has them, those of what is left.

    WITHHELD: int32[entries * entry_words(block)], of `withheld_table`. A workgroup takes an entry, which is a block of logits.
    """
    words = entry_words(block)
    name = f"withhold_v{vocabulary}_b{block}_n{entries}"

    @T.jit
    def func(LOGITS: T.Buffer((vocabulary,), "float32"), PEAKS: T.Buffer((ceil_div(vocabulary, block),), "float32"),
             WITHHELD: T.Buffer((entries * words,), "int32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for entry in T.thread_binding(entries, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                values = T.alloc_buffer((THREADS + SIDE,), "float32", scope="shared")
                indices = T.alloc_buffer((THREADS + SIDE,), "int32", scope="shared")
                best = T.alloc_buffer((1,), "float32", scope="local")
                token = T.alloc_buffer((1,), "int32", scope="local")
                best[0] = T.float32(MASKED_OUT)
                token[0] = vocabulary
                for i in T.serial(ceil_div(block, THREADS)):
                    offset: T.int32 = i * THREADS + tx
                    index: T.int32 = WITHHELD[entry * words] * block + offset
                    if offset < block and index < vocabulary:
                        if is_withheld(WITHHELD, entry, words, offset):
                            LOGITS[index] = T.float32(MASKED_OUT)
                        else:
                            best[0] = T.max(best[0], LOGITS[index])
                reduce_best(values, indices, tx, best, token)
                if tx == 0:
                    PEAKS[WITHHELD[entry * words]] = best[0]

    return Kernel(name, func, (entries, 1), (Parameter("LOGITS", written=True, bytes_moved=4 * block * entries),
                                             Parameter("PEAKS", written=True, bytes_moved=4 * entries), Parameter("WITHHELD")))
