"""Sums of products in float32 over one group of columns: weights are widened, and nothing is rounded but sums."""
from tvm.script import tirx as T

from .weight_quads import QuadLayout, load_scales, widened


def float_product(layout: QuadLayout, quads: int, tokens: int):
    """Inline (W, S, X, QSCALES, QSUMS, acc, rows, starts, group, zero): adds one group's sums to acc.

    As `integer_product`'s, but X is float32, and starts are the places of each token's first value; QSCALES, QSUMS and zero are of no use.
    """
    load = load_scales(layout)

    @T.inline
    def multiply(X, sums, weight, starts, column, t, i):
        if layout.ragged:
            if column < layout.columns:
                sums[t * quads + i] = sums[t * quads + i] + weight * T.Broadcast(X[starts[t] + column], 4)
        else:
            sums[t * quads + i] = sums[t * quads + i] + weight * T.Broadcast(X[starts[t] + column], 4)

    @T.inline
    def add_group(W, S, X, QSCALES, QSUMS, acc, rows, starts, group, zero):
        sums = T.alloc_buffer((tokens * quads,), "float32x4", scope="local")
        scales = T.alloc_buffer((quads,), "float32x4", scope="local")
        for i in T.unroll(tokens * quads):
            sums[i] = T.Broadcast(T.float32(0), 4)
        for step in T.serial(layout.units_per_group * 4):
            unit: T.int32 = group * layout.units_per_group + T.truncdiv(step, 4)
            word: T.int32 = T.truncmod(step, 4)
            for i in T.unroll(quads):
                loaded: T.int32x4 = W[T.Ramp(layout.vector(rows[i], unit, word) * 4, 1, 4)]
                for value in T.unroll(layout.values_per_word):
                    weight: T.float32x4 = widened(layout, loaded, value, 4)
                    for t in T.unroll(tokens):
                        multiply(X, sums, weight, starts, layout.column(unit, word, value), t, i)
        if layout.has_scale:
            for i in T.unroll(quads):
                load(S, rows[i], group, scales, i)
            for t in T.unroll(tokens):
                for i in T.unroll(quads):
                    acc[t * quads + i] = acc[t * quads + i] + sums[t * quads + i] * scales[i]
        else:
            for i in T.unroll(tokens * quads):
                acc[i] = acc[i] + sums[i]

    return add_group
