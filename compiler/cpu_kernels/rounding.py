"""Whole steps of a fixed size, to which products of mobile checkpoints round their input and output (compiler/kernels/rounding.py)."""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact
from ..kernels.rounding import HIGHEST, LOWEST, Rounding, step_size
from .cpu_kernel import CpuKernel
from .mathematics import ROUNDER

ROUNDER_BITS = 0x4B400000


def bounded_steps(x, step):
    """x, float32x4, by the step, within what is kept; not yet rounded, so that whoever rounds can do it once."""
    counted = x / T.Broadcast(step_size(step), 4)
    return T.min(T.max(counted, T.Broadcast(T.float32(LOWEST), 4)), T.Broadcast(T.float32(HIGHEST), 4))


def nearest(x):
    """x, float32x4 below 2^22, as the nearest int32x4, halves to even: adding ROUNDER leaves that in the low bits."""
    return T.reinterpret("int32x4", x + T.Broadcast(exact(ROUNDER), 4)) - T.Broadcast(T.int32(ROUNDER_BITS), 4)


def rounded4(x, step):
    """x, float32x4, rounded to whole steps, halves to even; x itself where the step is 0."""
    return T.Select(step != T.float32(0), T.Cast("float32x4", nearest(bounded_steps(x, step))) * T.Broadcast(step, 4), x)


def round_kernel(tokens: int, width: int, stride: int, offset: int, rounding: Rounding) -> CpuKernel:
    """Y[M, K] = X rounded to the input's steps, for products in float32. STEPS: the table of compiler/kernels/rounding.py, in which `rounding` finds one step for all rows.

    stride, offset: values from one row's x to the next, and before the first. K and both are multiples of 4.
    """
    vectors = width // 4
    name = f"round_m{tokens}_k{width}_s{stride}_o{offset}_{rounding.name}"

    @T.jit
    def func(x: T.handle("float32x4"), steps: T.handle("float32"), y: T.handle("float32x4"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * stride // 4,), "float32x4", data=x)
        STEPS = T.decl_buffer((rounding.words,), "float32", data=steps)
        Y = T.decl_buffer((tokens * vectors,), "float32x4", data=y)
        for item in T.serial(last - first):
            for v in T.serial(vectors):
                Y[(first + item) * vectors + v] = rounded4(X[((first + item) * stride + offset) // 4 + v], rounding.input_step(STEPS, 0))

    return CpuKernel(name, func, 1, (Parameter("X"), Parameter("STEPS"), Parameter("Y", written=True)), per_token=True)
