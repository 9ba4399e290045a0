"""Queries of a step, normed, rotated and scaled: a work item is a head of a token."""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact, number_name
from ..kernels.rope import DIGIT, rotate
from ..state import STATE
from .cpu_kernel import CpuKernel
from .norm import sum_of_squares
from .position import position_of


def rotate_queries_kernel(tokens: int, heads: int, head_size: int, stride: int, offset: int, scale: float, eps: float, norm: bool) -> CpuKernel:
    """Y[M, heads, head size] = scale * rope(norm(Q)), float32.

    X: rows of `stride` values with Q at `offset`. G: weight of the norm.
    """
    vectors, half = head_size // 4, head_size // 8
    turn, add_squares = rotate(head_size), sum_of_squares(vectors)
    name = (f"rotate_queries_m{tokens}_h{heads}_d{head_size}_s{stride}_q{offset}_{number_name('scale', scale)}_"
            + (number_name("eps", eps) if norm else "plain"))

    @T.jit
    def func(x: T.handle("float32x4"), g: T.handle("float32x4"), table: T.handle("float32x4"), state_words: T.handle("int32"), y: T.handle("float32x4"),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * stride // 4,), "float32x4", data=x)
        G = T.decl_buffer((vectors,), "float32x4", data=g)
        TABLE = T.decl_buffer((2 * DIGIT * vectors,), "float32x4", data=table)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        Y = T.decl_buffer((tokens * heads * vectors,), "float32x4", data=y)
        square = T.alloc_buffer((1,), "float32", scope="local")
        turned = T.alloc_buffer((2,), "float32x4", scope="local")
        for item in T.serial(last - first):
            m: T.int32 = T.truncdiv(first + item, heads)
            start: T.int32 = T.truncdiv(m * stride + offset, 4) + T.truncmod(first + item, heads) * vectors
            position: T.int32 = position_of(STATE_WORDS, m, tokens)
            factor: T.float32 = exact(scale)
            if norm:
                add_squares(X, start, square)
                factor = factor / T.sqrt(square[0] * exact(1 / head_size) + exact(eps))
            for i in T.serial(half):
                low: T.float32x4 = X[start + i] * T.Broadcast(factor, 4)
                high: T.float32x4 = X[start + half + i] * T.Broadcast(factor, 4)
                if norm:
                    low = low * G[i]
                    high = high * G[half + i]
                turn(TABLE, low, high, i, position, turned)
                Y[(first + item) * vectors + i] = turned[0]
                Y[(first + item) * vectors + half + i] = turned[1]

    present = [(Parameter("X"), True), (Parameter("G"), norm), (Parameter("TABLE"), True), (Parameter("STATE_WORDS"), True),
               (Parameter("Y", written=True), True)]
    return CpuKernel(name, func, heads, tuple(parameter for parameter, wanted in present if wanted), per_token=True)
