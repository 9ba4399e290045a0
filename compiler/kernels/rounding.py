"""Static activation scales: a linear layer rounds its input, its output or both to whole steps of a fixed size.

Gemma's mobile checkpoints were trained that way (transformers' `apply_srq`). The steps are data, so that layers share
kernels: the buffer A holds three float32 for each of the matrices that lie one below the other in W: its first row, the
step of its input and the step of its output. A step of 0 does not round.
"""
from dataclasses import dataclass

import numpy as np
from tvm.script import tirx as T

LOWEST, HIGHEST = -128, 127
WORDS = 3


@dataclass(frozen=True)
class Rounding:
    """parts: matrices in W. one_input: all round their input alike, so that a value of x is rounded once for all rows. only: the part whose rows, and
    no others, a kernel computes."""

    parts: int
    one_input: bool
    only: int | None = None

    @property
    def words(self) -> int:
        """Float32 values in the buffer A."""
        return WORDS * self.parts

    @property
    def name(self) -> str:
        if self.only is not None:
            return f"round{self.parts}_only{self.only}"
        return f"round{self.parts}" + ("" if self.one_input else "_apart")

    def input_step(self, A, row):
        """The step of the input, as row `row` of W sees it."""
        return A[1] if self.one_input else self._step(A, 1, row)

    def output_step(self, A, row):
        """The step of row `row` of the product."""
        return self._step(A, 2, row)

    def _step(self, A, word: int, row):
        if self.only is not None:
            return A[WORDS * self.only + word]
        found = A[word]
        for part in range(1, self.parts):
            found = T.Select(T.Cast("float32", row) >= A[WORDS * part], A[WORDS * part + word], found)
        return found


def rounding_table(first_rows: list[int], steps: list[tuple[float, float]]) -> np.ndarray:
    """The buffer A, float32 [3 * parts]. steps: (input, output) of each part."""
    return np.array([[first, *pair] for first, pair in zip(first_rows, steps)], np.float32).reshape(-1)


def whole_steps(x, step):
    """x, float32x4, counted in steps: rounded to nearest, halves to even, within -128 … 127; x itself where step is 0."""
    counted = T.call_pure_extern("float32x4", "round", x / T.Broadcast(step_size(step), 4))
    bounded = T.call_pure_extern("float32x4", "clamp", counted, T.Broadcast(T.float32(LOWEST), 4), T.Broadcast(T.float32(HIGHEST), 4))
    return T.Select(step != T.float32(0), bounded, x)


def step_size(step):
    """What `whole_steps` counts in: the step, or 1 where it is 0."""
    return T.Select(step != T.float32(0), step, T.float32(1))


def rounded(y, step):
    """y, float32, rounded to a whole number of steps; y itself where step is 0."""
    counted = T.call_pure_extern("float32", "clamp", T.round(y / step_size(step)), T.float32(LOWEST), T.float32(HIGHEST))
    return T.Select(step != T.float32(0), counted * step, y)
