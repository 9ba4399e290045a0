"""The inner product of the matrix-vector kernels: a thread's rows of W times x, over one group of columns."""
from tvm.script import tirx as T

from .dequantize import WeightLayout, expand_vector, load_scale
from .kernel import TILE


def add_group(layout: WeightLayout, slots: int, padded: bool):
    """Inline (W, S, X, acc, row_of_slot, x_start, group, prepare): acc[slot] += W[row of slot, group] . x[group].

    row_of_slot: Python function (slot) -> row of W. X: float32x4, where the group starts at vector x_start. padded: zeros stand
    behind the last column in X. prepare: None, or a Python function (x, slot) that gives what a slot multiplies with.
    """
    columns = layout.columns
    expand, scale_of = expand_vector(layout.format), load_scale(layout)
    vectors = layout.values_per_unit // 4

    @T.inline
    def add_vector(X, words, part, v, x_at, prepare):
        values = T.alloc_buffer((4,), "float32", scope="local")
        x: T.float32x4 = X[x_at]
        for r in T.unroll(slots):
            expand(words, r * 4, v, values)
            if prepare is None:
                part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], x)
            else:
                part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], prepare(x, r))

    @T.inline
    def add(W, S, X, acc, row_of_slot, x_start, group, prepare):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        part = T.alloc_buffer((slots,), "float32", scope="local")
        for r in T.unroll(slots):
            part[r] = T.float32(0)
        for u in T.serial(layout.units_per_group):
            for r in T.unroll(slots):
                words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_of_slot(r), group * layout.units_per_group + u)]
            for v in T.unroll(vectors):
                in_group = T.meta_var(u * vectors + v)
                if layout.ragged and not padded:
                    if group * layout.vectors + in_group < columns // 4:
                        add_vector(X, words, part, v, x_start + in_group, prepare)
                else:
                    add_vector(X, words, part, v, x_start + in_group, prepare)
        for r in T.unroll(slots):
            if layout.has_scale:
                scale = T.alloc_buffer((2,), "float32", scope="local")
                scale_of(S, row_of_slot(r), group, scale)
                acc[r] = acc[r] + part[r] * scale[group % 2]
            else:
                acc[r] = acc[r] + part[r]

    return add


def sum_splits(splits: int, row_groups: int, sums: int):
    """Inline (acc, partial: workgroup float32, row_group, split, tx): adds up the parts that `splits` groups of threads have in acc."""

    def place(i, row_group, split, tx):
        return ((i * row_groups + row_group) * splits + split) * TILE + tx

    @T.inline
    def total(acc, partial, row_group, split, tx):
        for i in T.unroll(sums):
            partial[place(i, row_group, split, tx)] = acc[i]
        T.tvm_storage_sync("shared")
        for i in T.unroll(sums):
            acc[i] = T.float32(0)
            for s in T.unroll(splits):
                acc[i] = acc[i] + partial[place(i, row_group, s, tx)]

    return total
