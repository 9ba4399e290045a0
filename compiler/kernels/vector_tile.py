"""The inner product of the matrix-vector kernels: a thread's rows of W times x, over one group of columns."""
from tvm.script import tirx as T

from .dequantize import WeightLayout, expand_vector, load_scale
from .kernel import ceil_div, exact


def add_group(layout: WeightLayout, slots: int, norm: bool = False, prepared: str = "no"):
    """Inline (W, S, X, G, acc, row_of_slot, x_start, group, prepare): acc[slot] += W[row of slot, group] . x[group].

    row_of_slot: Python function (slot) -> row of W. x_start: where x starts in X, in vectors of four. With `norm`, x is
    multiplied by G on the way and acc[slots] adds up the squares of x. prepared: "once" or "by_slot": `prepare`, a Python
    function (x, vector, slot), gives what is multiplied in place of x, for all slots alike or not; "no": it is None.
    """
    columns = layout.columns
    expand, scale_of = expand_vector(layout.format), load_scale(layout)
    vectors = layout.values_per_unit // 4

    @T.inline
    def add_vector(X, G, acc, words, part, v, x_start, k4, prepare):
        values = T.alloc_buffer((4,), "float32", scope="local")
        x: T.float32x4 = X[x_start + k4]
        if norm:
            acc[slots] = acc[slots] + T.call_pure_extern("float32", "dot", x, x)
            x = x * G[k4]
        if prepared == "once":
            x = prepare(x, k4, 0)
        for r in T.unroll(slots):
            expand(words, r * 4, v, values)
            if prepared == "by_slot":
                part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], prepare(x, k4, r))
            else:
                part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], x)

    @T.inline
    def add(W, S, X, G, acc, row_of_slot, x_start, group, prepare):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        part = T.alloc_buffer((slots,), "float32", scope="local")
        for r in T.unroll(slots):
            part[r] = T.float32(0)
        for u in T.serial(layout.units_per_group):
            for r in T.unroll(slots):
                words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_of_slot(r), group * layout.units_per_group + u)]
            for v in T.unroll(vectors):
                k4 = T.meta_var(group * layout.vectors + u * vectors + v)
                if layout.ragged:
                    if k4 < columns // 4:
                        add_vector(X, G, acc, words, part, v, x_start, k4, prepare)
                else:
                    add_vector(X, G, acc, words, part, v, x_start, k4, prepare)
        for r in T.unroll(slots):
            if layout.has_scale:
                scale = T.alloc_buffer((2,), "float32", scope="local")
                scale_of(S, row_of_slot(r), group, scale)
                acc[r] = acc[r] + part[r] * scale[group % 2]
            else:
                acc[r] = acc[r] + part[r]

    return add


def inverse_rms(threads: int, columns: int, x_start: int, eps: float):
    """Inline (X, squares: workgroup float32, factor: local float32[1], thread): factor[0] = 1 / sqrt(mean(x^2) + eps), which
    all threads of a workgroup find together. x_start: in vectors of four."""
    vectors = columns // 4

    @T.inline
    def find(X, squares, factor, thread):
        factor[0] = T.float32(0)
        for i in T.serial(ceil_div(vectors, threads)):
            if i * threads + thread < vectors:
                x: T.float32x4 = X[x_start + i * threads + thread]
                factor[0] = factor[0] + T.call_pure_extern("float32", "dot", x, x)
        squares[thread] = factor[0]
        T.tvm_storage_sync("shared")
        factor[0] = T.float32(0)
        for i in T.serial(threads):
            factor[0] = factor[0] + squares[i]
        # TVM gives the memory of `squares` to the workgroup buffer that comes next: nobody may write there yet.
        T.tvm_storage_sync("shared")
        factor[0] = T.float32(1) / T.sqrt(factor[0] / T.float32(columns) + exact(eps))

    return find


def sum_splits(splits: int, sums: int, tile: int):
    """Inline (acc, partial: workgroup float32, ty, tx): adds up the parts that `splits` groups of threads have in acc."""

    @T.inline
    def total(acc, partial, ty, tx):
        for i in T.unroll(sums):
            partial[(i * splits + ty) * tile + tx] = acc[i]
        T.tvm_storage_sync("shared")
        for i in T.unroll(sums):
            acc[i] = T.float32(0)
            for s in T.unroll(splits):
                acc[i] = acc[i] + partial[(i * splits + s) * tile + tx]

    return total
