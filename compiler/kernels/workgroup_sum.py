"""Sums over the threads of a workgroup, or of each of several groups of them."""
from tvm.script import tirx as T

# With more threads than this the sum is taken in two steps, so that no thread adds up all parts.
LANES = 16


def workgroup_sum(threads: int):
    """Inline (partial: workgroup float32, base, value, out: local float32[1], thread): out[0] = the sum of the values of `threads` threads,
    numbered from 0, which share partial[base ... base + threads). All threads of the workgroup have to get here.

    `partial` may be used again at once: the last barrier stands behind its last read.
    """
    two_steps = threads > 2 * LANES and threads % LANES == 0
    terms = LANES if two_steps else threads

    @T.inline
    def total(partial, base, value, out, thread):
        partial[base + thread] = value
        T.tvm_storage_sync("shared")
        if two_steps:
            # A thread adds up what only it reads, its own place among it.
            if thread < LANES:
                part: T.float32 = T.float32(0)
                for i in T.serial(threads // LANES):
                    part = part + partial[base + i * LANES + thread]
                partial[base + thread] = part
            T.tvm_storage_sync("shared")
        out[0] = T.float32(0)
        for i in T.serial(terms):
            out[0] = out[0] + partial[base + i]
        T.tvm_storage_sync("shared")

    return total


def sum_of_squares(vectors: int, threads: int):
    """Inline (X: float32x4, start, partial, base, out, thread): out[0] = the sum of the squares of `vectors` vectors of X from `start` on;
    the others as in `workgroup_sum`."""
    total = workgroup_sum(threads)

    @T.inline
    def add_squares(X, start, partial, base, out, thread):
        out[0] = T.float32(0)
        for i in T.serial(T.truncdiv(vectors - thread + threads - 1, threads)):
            x: T.float32x4 = X[start + i * threads + thread]
            out[0] = out[0] + T.call_pure_extern("float32", "dot", x, x)
        total(partial, base, out[0], out, thread)

    return add_squares
