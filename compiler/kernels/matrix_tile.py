"""The inner product of the float matrix kernels: a thread's rows of W times its tokens, over one step of columns.

A weight is expanded once for all the tokens of a thread, and a value of x is loaded once for all its rows. There is no
workgroup memory and so no barrier: 32 neighbouring threads load the same values of x, which caches serve at once.
With quads each of four neighbours loads other values and hands them to the others: a quarter of the loads.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout, expand_vector, load_scale

QUAD = 4


def step_vectors(layout: WeightLayout, quads: bool) -> int:
    """Vectors of four columns a step: whole units of W and, with quads, one vector for each thread of a quad."""
    return max(QUAD if quads else 1, layout.values_per_unit // 4)


def steps(layout: WeightLayout, quads: bool) -> int:
    """Steps along the columns. One loop takes them all: a loop in a loop cost half of the speed on SwiftShader."""
    return layout.groups * layout.vectors // step_vectors(layout, quads)


def multiply_step(layout: WeightLayout, slots: int, tokens: int, quads: bool, by_slot: bool = False):
    """Inline (W, S, X, acc, starts, place, row_of_slot, step, prepare): acc[slot * tokens + t] += W[row of slot] . x of token t,
    over one step of columns.

    X: float32x4. starts: local int32[tokens], the vector in X where a token's values start. place: the thread's place in its quad.
    row_of_slot: Python function (slot) -> row of W. prepare: Python function (x, slot) -> what is multiplied in place of x; a
    slot is given with `by_slot` only.
    """
    expand, scale_of = expand_vector(layout.format), load_scale(layout)
    unit_vectors, vectors = layout.values_per_unit // 4, step_vectors(layout, quads)
    lanes = QUAD if quads else 1
    last = layout.columns // 4 - 1

    @T.inline
    def load(X, starts, k4, x, prepare):
        """All loads come before anything else is done with them, so that they are under way together."""
        for t in T.unroll(tokens):
            if layout.ragged:
                x[t] = T.Select(k4 <= last, X[starts[t] + T.min(k4, last)], T.Broadcast(T.float32(0), 4))
            else:
                x[t] = X[starts[t] + k4]
        if not by_slot:
            for t in T.unroll(tokens):
                x[t] = prepare(x[t], 0)

    @T.inline
    def multiply(W, S, X, acc, starts, place, row_of_slot, step, prepare):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        scales = T.alloc_buffer((slots,), "float32", scope="local")
        values = T.alloc_buffer((4,), "float32", scope="local")
        w = T.alloc_buffer((slots,), "float32x4", scope="local")
        own = T.alloc_buffer((tokens,), "float32x4", scope="local")
        x = T.alloc_buffer((1,), "float32x4", scope="local")
        if layout.has_scale:
            pair = T.alloc_buffer((2,), "float32", scope="local")
            group = T.meta_var(step * vectors // layout.vectors)
            for r in T.unroll(slots):
                scale_of(S, row_of_slot(r), group, pair)
                scales[r] = T.Select(group % 2 == 0, pair[0], pair[1])
        for v in T.unroll(vectors):
            k4: T.int32 = step * vectors + v
            if v % unit_vectors == 0:
                for r in T.unroll(slots):
                    words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_of_slot(r), k4 // unit_vectors)]
            if v % lanes == 0:
                load(X, starts, k4 + place, own, prepare)
            for r in T.unroll(slots):
                expand(words, r * 4, v % unit_vectors, values)
                w[r] = values[T.Ramp(0, 1, 4)]
                if layout.has_scale:
                    w[r] = w[r] * T.Broadcast(scales[r], 4)
            for t in T.unroll(tokens):
                if quads:
                    x[0] = T.call_pure_extern("float32x4", "quadBroadcast", own[t], T.Cast("uint32", v % QUAD))
                else:
                    x[0] = own[t]
                for r in T.unroll(slots):
                    acc[r * tokens + t] = acc[r * tokens + t] + T.call_pure_extern("float32", "dot", w[r], prepare(x[0], r) if by_slot else x[0])

    return multiply


def place_in_quad(thread):
    """A thread's place in its quad, found by asking the others who they are: WGSL does not say how threads are laid out in subgroups.

    thread: int32, a number that no other thread of the workgroup has. Right for every subgroup size, 4 to 128.
    """
    place = T.int32(0)
    for i in range(1, QUAD):
        place = T.Select(thread == T.call_pure_extern("int32", "quadBroadcast", thread, T.uint32(i)), T.int32(i), place)
    return place
