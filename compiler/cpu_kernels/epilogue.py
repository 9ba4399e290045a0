"""What a matrix product does with its sums before it stores them, four rows at a time (compiler/kernels/epilogue.py)."""
from tvm.script import tirx as T

from ..kernels.kernel import exact
from .mathematics import gelu4, tanh4


def epilogue_of(epilogue: str, cap: float, second: int):
    """Inline (E: float32 buffer, at, acc: local float32x4, i, Y: float32 buffer, to): stores the four rows whose sums are acc[i].

    `gated` finds the second product in acc[i + second]; `gated_by` what it multiplies with at E[at].
    """

    @T.inline
    def store(E, at, acc, i, Y, to):
        Y[T.Ramp(to, 1, 4)] = acc[i]

    @T.inline
    def store_gated(E, at, acc, i, Y, to):
        gelu4(acc, i)
        Y[T.Ramp(to, 1, 4)] = acc[i] * acc[i + second]

    @T.inline
    def store_gated_by(E, at, acc, i, Y, to):
        gelu4(acc, i)
        Y[T.Ramp(to, 1, 4)] = acc[i] * E[T.Ramp(at, 1, 4)]

    @T.inline
    def store_softcap(E, at, acc, i, Y, to):
        acc[i] = acc[i] * T.Broadcast(exact(1 / cap), 4)
        tanh4(acc, i)
        Y[T.Ramp(to, 1, 4)] = acc[i] * T.Broadcast(exact(cap), 4)

    return {"none": store, "gated": store_gated, "gated_by": store_gated_by, "softcap": store_softcap}[epilogue]


@T.inline
def gate_in_passes(number, acc, i, Y, to):
    """`gated` where the second product comes first, in pass 0, and finds its place in Y; (number, acc, i, Y, to) as above."""
    if number == 0:
        Y[T.Ramp(to, 1, 4)] = acc[i]
    else:
        gelu4(acc, i)
        Y[T.Ramp(to, 1, 4)] = acc[i] * Y[T.Ramp(to, 1, 4)]
