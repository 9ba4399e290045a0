"""The inner product of the matrix-vector kernels: a thread's rows of W times x, over one group of columns."""
from tvm.script import tirx as T

from ..quantize.format import GROUP
from .dequantize import WeightLayout, expand_vector, load_scale


def add_group(layout: WeightLayout, slots: int, norm: bool = False):
    """Inline (W, S, X, G, acc, row_of_slot, x_start, group): acc[slot] += W[row of slot, group] . x[group].

    row_of_slot: Python function (slot) -> row of W. x_start: where x starts in X, in vectors of four. With `norm`, x is
    multiplied by G on the way and acc[slots] adds up the squares of x.
    """
    columns = layout.columns
    expand, scale_of = expand_vector(layout.format), load_scale(layout)
    vectors = layout.values_per_unit // 4

    @T.inline
    def add_vector(X, G, acc, words, part, v, x_start, k4):
        values = T.alloc_buffer((4,), "float32", scope="local")
        x: T.float32x4 = X[x_start + k4]
        if norm:
            acc[slots] = acc[slots] + T.call_pure_extern("float32", "dot", x, x)
            x = x * G[k4]
        for r in T.unroll(slots):
            expand(words, r * 4, v, values)
            part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], x)

    @T.inline
    def add(W, S, X, G, acc, row_of_slot, x_start, group):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        part = T.alloc_buffer((slots,), "float32", scope="local")
        for r in T.unroll(slots):
            part[r] = T.float32(0)
        for u in T.serial(layout.units_per_group):
            for r in T.unroll(slots):
                words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_of_slot(r), group * layout.units_per_group + u)]
            for v in T.unroll(vectors):
                k4 = T.meta_var(group * (GROUP // 4) + u * vectors + v)
                if layout.ragged:
                    if k4 < columns // 4:
                        add_vector(X, G, acc, words, part, v, x_start, k4)
                else:
                    add_vector(X, G, acc, words, part, v, x_start, k4)
        for r in T.unroll(slots):
            if layout.has_scale:
                scale = T.alloc_buffer((2,), "float32", scope="local")
                scale_of(S, row_of_slot(r), group, scale)
                acc[r] = acc[r] + part[r] * scale[group % 2]
            else:
                acc[r] = acc[r] + part[r]

    return add


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
