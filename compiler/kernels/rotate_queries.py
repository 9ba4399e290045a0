"""Queries of a chunk, normed, rotated and scaled: once a query, before `attention_matrix` reads them many times."""
from math import gcd

from tvm.script import tirx as T

from ..state import STATE
from .kernel import ANY_EXTENT, Kernel, Parameter, exact, number_name
from .position import row_position
from .rope import DIGIT, rotate
from .workgroup_sum import LANES, sum_of_squares

# LANES threads a head: few, since each adds up what all of them have.
HEADS_A_WORKGROUP = 4


def rotate_queries_kernel(tokens: int, heads: int, head_size: int, stride: int, q_offset: int, scale: float, eps: float, q_norm: bool) -> Kernel:
    """Y[M, heads, head size] = scale * rope(norm(Q)), float32.

    X: rows of `stride` values with Q at `q_offset`. G: weight of the norm. Rows beyond the state's `length` are left as they were.
    """
    vectors, half = head_size // 4, head_size // 8
    slices = gcd(heads, HEADS_A_WORKGROUP)
    turn, add_squares = rotate(head_size), sum_of_squares(vectors, LANES)
    name = (f"rotate_queries_h{heads}_d{head_size}_s{stride}_q{q_offset}_{number_name('scale', scale)}_"
            + (number_name("eps", eps) if q_norm else "plain"))

    @T.jit
    def func(X: T.Buffer((ANY_EXTENT * stride // 4,), "float32x4"), G: T.Buffer((vectors,), "float32x4"),
             TABLE: T.Buffer((2 * DIGIT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             Y: T.Buffer((ANY_EXTENT * heads * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for m in T.thread_binding(ANY_EXTENT, thread="blockIdx.x"):
            for block in T.thread_binding(heads // slices, thread="blockIdx.y"):
                for ty in T.thread_binding(slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(LANES, thread="threadIdx.x"):
                        partial = T.alloc_buffer((slices * LANES,), "float32", scope="shared")
                        square = T.alloc_buffer((1,), "float32", scope="local")
                        turned = T.alloc_buffer((2,), "float32x4", scope="local")
                        if m < STATE_WORDS[STATE["length"]]:
                            head: T.int32 = block * slices + ty
                            start: T.int32 = (m * stride + q_offset) // 4 + head * vectors
                            position: T.int32 = row_position(STATE_WORDS, m)
                            factor: T.float32 = exact(scale)
                            if q_norm:
                                add_squares(X, start, partial, ty * LANES, square, tx)
                                factor = factor / T.sqrt(square[0] / T.float32(head_size) + exact(eps))
                            for i in T.serial(T.truncdiv(half - tx + LANES - 1, LANES)):
                                at: T.int32 = i * LANES + tx
                                low: T.float32x4 = X[start + at] * T.Broadcast(factor, 4)
                                high: T.float32x4 = X[start + half + at] * T.Broadcast(factor, 4)
                                if q_norm:
                                    low = low * G[at]
                                    high = high * G[half + at]
                                turn(TABLE, low, high, at, position, turned)
                                Y[(m * heads + head) * vectors + at] = turned[0]
                                Y[(m * heads + head) * vectors + half + at] = turned[1]

    moved = 4 * tokens * heads * head_size
    present = [(Parameter("X", bytes_moved=moved), True), (Parameter("G"), q_norm), (Parameter("TABLE", bytes_moved=2 * moved), True),
               (Parameter("STATE_WORDS", bytes_moved=8), True), (Parameter("Y", written=True), True)]
    return Kernel(name, func, (tokens, heads // slices), tuple(parameter for parameter, wanted in present if wanted))
