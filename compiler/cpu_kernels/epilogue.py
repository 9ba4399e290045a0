"""What a matrix product does with its sums before it stores them, four rows at a time (compiler/kernels/epilogue.py)."""
from tvm.script import tirx as T

from ..kernels.kernel import exact
from .mathematics import gelu4, tanh4


def epilogue_of(epilogue: str, cap: float, second: int):
    """Inline (E: float32 buffer, at, acc: local float32x4, i): acc[i] becomes what is stored of the four rows whose sums it holds.

    `gated` finds the second product in acc[i + second]; `gated_by` what it multiplies with at E[at].
    """

    @T.inline
    def keep(E, at, acc, i):
        T.evaluate(0)

    @T.inline
    def gate(E, at, acc, i):
        gelu4(acc, i)
        acc[i] = acc[i] * acc[i + second]

    @T.inline
    def gate_by(E, at, acc, i):
        gelu4(acc, i)
        acc[i] = acc[i] * E[T.Ramp(at, 1, 4)]

    @T.inline
    def soft_cap(E, at, acc, i):
        acc[i] = acc[i] * T.Broadcast(exact(1 / cap), 4)
        tanh4(acc, i)
        acc[i] = acc[i] * T.Broadcast(exact(cap), 4)

    return {"none": keep, "gated": gate, "gated_by": gate_by, "softcap": soft_cap}[epilogue]


def store_rows(rows: int):
    """Inline (acc: local float32x4, i, Y: float32 buffer, to, row): acc[i] to Y[to ...], its rows from number `row` on; nothing is stored of rows beyond
    `rows`."""

    @T.inline
    def store(acc, i, Y, to, row):
        if rows % 4 == 0:
            if row < rows:
                Y[T.Ramp(to, 1, 4)] = acc[i]
        else:
            if row + 4 <= rows:
                Y[T.Ramp(to, 1, 4)] = acc[i]
            else:
                for lane in T.unroll(4):
                    if row + lane < rows:
                        Y[to + lane] = T.Shuffle([acc[i]], [lane])

    return store


@T.inline
def gate_in_passes(number, acc, i, Y, to):
    """`gated` where the second product comes first, in pass 0, and finds its place in Y; (number, acc, i, Y, to) as above."""
    if number == 0:
        Y[T.Ramp(to, 1, 4)] = acc[i]
    else:
        gelu4(acc, i)
        Y[T.Ramp(to, 1, 4)] = acc[i] * Y[T.Ramp(to, 1, 4)]
