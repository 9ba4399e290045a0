"""Activations as whole numbers in groups, each with a scale: value = scale * q, q in -8191 ... 8191, the largest of a group at the end.

A product takes four columns of a token at a time, which it spreads over a vector. It finds them as two words of 32 bits, in the form in which
its instruction wants them:
  pairs    for products of 16 bits with paired bytes (weight_quads.py): q of the first two columns, then of the other two
  halves   for those with narrower weights, which are widened by shifts: q of the even columns, then of the odd ones
  sevens   for products of bytes, one of them of 7 bits: the high parts of the four q, then the low ones, q = 128 * high + low. It is the activation
           that must have 7 bits, and no sign, where weights have 8, so that there 64 is added to its high part
Either way a sum of products over a group is exact.
"""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact
from ..kernels.rounding import Rounding
from .cpu_kernel import RELAXED, CpuKernel
from .rounding import bounded_steps, nearest
from .weight_quads import QuadLayout, is_paired

PAIRS, HALVES, SEVENS = "pairs", "halves", "sevens"
WORDS = 2
LARGEST = 8191


def form_for(simd: str, format: str) -> str:
    """How products of this instruction set with weights of this format want their activations."""
    return SEVENS if simd == RELAXED else PAIRS if is_paired(format, simd) else HALVES


def quantize_kernel(tokens: int, columns: int, group: int, form: str, zero: int, stride: int, offset: int, rows_per_token: int = 1,
                    rounding: Rounding | None = None) -> CpuKernel:
    """Q int32 [M, padded K / 4, words], SCALES float32 [M, groups], SUMS int32 [M, groups] (-zero times the sum of q), of X float32.

    Columns beyond K are 0. zero: what the weights store for 0, so that SUMS takes it out again; no SUMS where it is 0.
    stride, offset: values from one row's x to the next, and before the first (multiples of 4). rows_per_token: rows of x, of which M counts all.
    rounding: q are whole steps, within -128 … 127, of the size that STEPS tells (compiler/kernels/rounding.py) where it is not 0.
    """
    groups, words = -(-columns // group), WORDS
    vectors = group // 4
    ragged = columns % group != 0
    step_words = rounding.words if rounding else 1
    name = f"quantize_{form}_m{tokens}_k{columns}_g{group}_z{zero}_s{stride}_o{offset}_r{rows_per_token}" + (f"_{rounding.name}" if rounding else "")

    @T.jit
    def func(x: T.handle("float32"), steps: T.handle("float32"), q: T.handle("int32"), scales: T.handle("float32"), sums: T.handle("int32"),
             first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * stride,), "float32", data=x)
        STEPS = T.decl_buffer((step_words,), "float32", data=steps)
        Q = T.decl_buffer((tokens * groups * vectors * words,), "int32", data=q)
        SCALES = T.decl_buffer((tokens * groups,), "float32", data=scales)
        SUMS = T.decl_buffer((tokens * groups,), "int32", data=sums)
        values = T.alloc_buffer((vectors,), "float32x4", scope="local")
        counted = T.alloc_buffer((1,), "float32x4", scope="local")
        peak = T.alloc_buffer((4,), "float32", scope="local")
        total = T.alloc_buffer((4,), "int32", scope="local")
        whole = T.alloc_buffer((4,), "int32", scope="local")
        for item in T.serial(last - first):
            at: T.int32 = first + item
            m: T.int32 = T.truncdiv(at, groups)
            start: T.int32 = m * stride + offset + T.truncmod(at, groups) * group
            peak[T.Ramp(0, 1, 4)] = T.Broadcast(T.float32(0), 4)
            for v in T.unroll(vectors):
                values[v] = T.Broadcast(T.float32(0), 4)
                if ragged:
                    if T.truncmod(at, groups) * group + v * 4 < columns:
                        values[v] = X[T.Ramp(start + v * 4, 1, 4)]
                else:
                    values[v] = X[T.Ramp(start + v * 4, 1, 4)]
                peak[T.Ramp(0, 1, 4)] = T.max(peak[T.Ramp(0, 1, 4)], T.max(values[v], T.Broadcast(T.float32(0), 4) - values[v]))
            largest: T.float32 = T.max(T.max(peak[0], peak[1]), T.max(peak[2], peak[3]))
            if rounding is not None:
                SCALES[at] = T.Select(rounding.input_step(STEPS, 0) != T.float32(0), rounding.input_step(STEPS, 0), largest * exact(1 / LARGEST))
            else:
                SCALES[at] = largest * exact(1 / LARGEST)
            # In a group of zeros all q are 0, whatever the inverse, as long as it is finite.
            inverse: T.float32 = T.float32(LARGEST) / T.max(largest, exact(2.0**-100))
            total[T.Ramp(0, 1, 4)] = T.Broadcast(T.int32(0), 4)
            for v in T.unroll(vectors):
                counted[0] = values[v] * T.Broadcast(inverse, 4)
                if rounding is not None:
                    counted[0] = T.Select(rounding.input_step(STEPS, 0) != T.float32(0), bounded_steps(values[v], rounding.input_step(STEPS, 0)), counted[0])
                whole[T.Ramp(0, 1, 4)] = nearest(counted[0])
                total[T.Ramp(0, 1, 4)] = total[T.Ramp(0, 1, 4)] + whole[T.Ramp(0, 1, 4)]
                word: T.int32 = (at * vectors + v) * words
                if form == SEVENS:
                    high = T.meta_var([T.shift_right(whole[i], 7) + (0 if zero else 64) for i in range(4)])
                    Q[word] = packed(*high)
                    Q[word + 1] = packed(*[T.bitwise_and(whole[i], 127) for i in range(4)])
                if form != SEVENS:
                    second, third = T.meta_var((1, 2) if form == PAIRS else (2, 1))
                    Q[word] = T.bitwise_or(T.bitwise_and(whole[0], 0xFFFF), T.shift_left(whole[second], 16))
                    Q[word + 1] = T.bitwise_or(T.bitwise_and(whole[third], 0xFFFF), T.shift_left(whole[3], 16))
            if zero != 0:
                SUMS[at] = (total[0] + total[1] + total[2] + total[3]) * T.int32(-zero)

    written = ("Q", "SCALES", "SUMS") if zero else ("Q", "SCALES")
    steps_of = [Parameter("STEPS")] if rounding else []
    return CpuKernel(name, func, rows_per_token * groups, (Parameter("X"), *steps_of, *(Parameter(key, written=True) for key in written)), per_token=True)


def packed(a, b, c, d):
    """Four whole numbers as the bytes of a word."""
    low = T.bitwise_or(T.bitwise_and(a, 255), T.shift_left(T.bitwise_and(b, 255), 8))
    return T.bitwise_or(low, T.bitwise_or(T.shift_left(T.bitwise_and(c, 255), 16), T.shift_left(d, 24)))
