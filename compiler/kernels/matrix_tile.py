"""The inner product of the float matrix kernels: a thread's rows of W times its tokens, over one step of columns.

A weight is expanded once for all the tokens of a thread, and a value of x is loaded once for all its rows. There is no
workgroup memory and so no barrier: 32 neighbouring threads load the same values of x, which caches serve at once.
With quads each of four neighbours loads other values and hands them to the others: a quarter of the loads.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout, load_scale, unit_values

QUAD = 4


def step_vectors(layout: WeightLayout, quads: bool) -> int:
    """Vectors of four columns a step: whole units of W and, with quads, one vector for each thread of a quad."""
    return max(QUAD if quads else 1, layout.values_per_unit // 4)


def steps(layout: WeightLayout, quads: bool) -> int:
    """Steps along the columns. One loop takes them all: a loop in a loop cost half of the speed on SwiftShader."""
    return layout.groups * layout.vectors // step_vectors(layout, quads)


def multiply_step(layout: WeightLayout, slots: int, tokens: int, quads: bool, by_slot: bool = False):
    """Function (W, S, X, acc, starts, place, row_of_slot, step, prepare): acc[slot * tokens + t] += W[row of slot] . x of token t,
    over one step of columns.

    X: float32x4. starts: local int32[tokens], the vector in X where a token's values start. place: the thread's place in its quad.
    row_of_slot: Python function (slot) -> row of W. prepare: Python function (x, slot) -> what is multiplied in place of x; a
    slot is given with `by_slot` only.
    """
    values_of, scale_of = unit_values(layout.format), load_scale(layout)
    unit_vectors, vectors = layout.values_per_unit // 4, step_vectors(layout, quads)
    lanes = QUAD if quads else 1
    last = layout.columns // 4 - 1

    def load(X, start, k4, prepare):
        at = T.min(k4, last) if layout.ragged else k4
        x = T.bind(X[start + at])
        if layout.ragged:
            x = named(T.Select(k4 <= last, x, T.Broadcast(T.float32(0), 4)))
        return x if by_slot or prepare is None else named(prepare(x, 0))

    def scale_at(S, row, group, pair):
        scale_of(S, row, group, pair)
        return T.bind(T.Select(group % 2 == 0, pair[0], pair[1]))

    # Written without the parser, so that every value can have a name of its own: an array of them would be memory on some devices.
    def multiply(W, S, X, acc, starts, place, row_of_slot, step, prepare):
        if layout.has_scale:
            pair = T.alloc_buffer((2,), "float32", scope="local")
            scales = [scale_at(S, row_of_slot(r), step * vectors // layout.vectors, pair) for r in range(slots)]
        for v in range(vectors):
            k4 = step * vectors + v
            if v % unit_vectors == 0:
                units = [T.bind(W[layout.unit(row_of_slot(r), k4 // unit_vectors)]) for r in range(slots)]
            if v % lanes == 0:
                # All loads come before anything else is done with them, so that they are under way together.
                own = [load(X, starts[t], k4 + place, prepare) for t in range(tokens)]
            w = [values_of(unit, v % unit_vectors) for unit in units]
            w = [named(value * T.Broadcast(scale, 4)) for value, scale in zip(w, scales)] if layout.has_scale else [named(value) for value in w]
            for t in range(tokens):
                x = T.bind(T.call_extern("float32x4", "quadBroadcast", own[t], T.uint32(v % QUAD))) if quads else own[t]
                for r in range(slots):
                    at = r * tokens + t
                    T.buffer_store(acc, acc[at] + T.call_pure_extern("float32", "dot", w[r], prepare(x, r) if by_slot else x), [at])

    return multiply


def named(vector):
    """A float32x4 under a name of its own. The call, which does nothing, keeps the simplifier from putting the value itself wherever the name stands."""
    return T.bind(T.call_extern("float32x4", "vec4<f32>", vector))


def place_in_quad(thread):
    """A thread's place in its quad, found by asking the others who they are: WGSL does not say how threads are laid out in subgroups.

    thread: int32, a number that no other thread of the workgroup has. Right for every subgroup size, 4 to 128.
    """
    place = T.int32(0)
    for i in range(1, QUAD):
        place = T.Select(thread == T.call_pure_extern("int32", "quadBroadcast", thread, T.uint32(i)), T.int32(i), place)
    return place
