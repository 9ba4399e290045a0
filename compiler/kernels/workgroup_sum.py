"""Sums over the threads of a workgroup."""
from tvm.script import tirx as T

# With more threads than this the sum is taken in two steps, so that no thread adds up all parts.
LANES = 16


def workgroup_sum(threads: int):
    """Inline (partial: workgroup float32[threads], value, out: local float32[1], thread): out[0] = the sum of all threads' values.

    `partial` may be used again at once: the last barrier stands behind its last read.
    """
    two_steps = threads > 2 * LANES and threads % LANES == 0
    terms = LANES if two_steps else threads

    @T.inline
    def total(partial, value, out, thread):
        partial[thread] = value
        T.tvm_storage_sync("shared")
        if two_steps:
            # A thread adds up what only it reads, its own place among it.
            if thread < LANES:
                part: T.float32 = T.float32(0)
                for i in T.serial(threads // LANES):
                    part = part + partial[i * LANES + thread]
                partial[thread] = part
            T.tvm_storage_sync("shared")
        out[0] = T.float32(0)
        for i in T.serial(terms):
            out[0] = out[0] + partial[i]
        T.tvm_storage_sync("shared")

    return total
