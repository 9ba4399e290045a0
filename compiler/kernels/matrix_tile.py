"""The inner product of the matrix kernels: a thread's rows of W times its tokens, over one group of columns."""
from tvm.script import tirx as T

from .dequantize import WeightLayout, expand_vector, load_scale

TOKENS_A_THREAD = 8
ROWS_A_THREAD = 4


def multiply_group(layout: WeightLayout, slots: int, by_slot: bool = False):
    """Inline (W, S, xs, acc, row_of_slot, group, first, prepare): acc[slot * 8 + t] += W[row of slot, group] . x of token
    first + t.

    xs: workgroup float32x4, the group's columns of each staged token. row_of_slot: Python function (slot) -> row of W.
    prepare: with `by_slot`, Python function (x, slot) -> what that slot multiplies in place of x; else None.
    """
    expand, scale_of = expand_vector(layout.format), load_scale(layout)

    @T.inline
    def multiply(W, S, xs, acc, row_of_slot, group, first, prepare):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        scales = T.alloc_buffer((slots,), "float32", scope="local")
        values = T.alloc_buffer((4,), "float32", scope="local")
        w = T.alloc_buffer((slots,), "float32x4", scope="local")
        if layout.has_scale:
            pair = T.alloc_buffer((2,), "float32", scope="local")
            for r in T.unroll(slots):
                scale_of(S, row_of_slot(r), group, pair)
                scales[r] = pair[group % 2]
        for u in T.serial(layout.units_per_group):
            for r in T.unroll(slots):
                words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_of_slot(r), group * layout.units_per_group + u)]
            for v in T.unroll(layout.values_per_unit // 4):
                for r in T.unroll(slots):
                    expand(words, r * 4, v, values)
                    w[r] = values[T.Ramp(0, 1, 4)]
                    if layout.has_scale:
                        w[r] = w[r] * T.Broadcast(scales[r], 4)
                for t in T.unroll(TOKENS_A_THREAD):
                    x: T.float32x4 = xs[(first + t) * layout.vectors + u * (layout.values_per_unit // 4) + v]
                    for r in T.unroll(slots):
                        if by_slot:
                            acc[r * TOKENS_A_THREAD + t] = acc[r * TOKENS_A_THREAD + t] + T.call_pure_extern("float32", "dot", w[r], prepare(x, r))
                        else:
                            acc[r * TOKENS_A_THREAD + t] = acc[r * TOKENS_A_THREAD + t] + T.call_pure_extern("float32", "dot", w[r], x)

    return multiply
