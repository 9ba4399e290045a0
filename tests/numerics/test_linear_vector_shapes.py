"""Launch shapes of the matrix-vector kernel that a device may choose, against the twin: the numbers of the usual shape, within the same bounds."""
from functools import partial

import pytest

from compiler.kernels.linear_vector import MANY_ROWS, WORTH_OTHER_SHAPES, Shape, linear_vector, other_shapes
from compiler.kernels.vector_input import VectorInput
from tests.numerics import test_kernel_linear_vector
from tests.numerics.test_kernel_linear_vector import EPS, check

SHAPES = [shape for rows in (1, MANY_ROWS) for shape in other_shapes(rows, WORTH_OTHER_SHAPES, peaks=False)]
CASES = {
    "plain q8, rows of half a tile": dict(rows=111, columns=96, format="q8"),
    "gated q4 after a norm": dict(rows=160, columns=64, format="q4", source=VectorInput(norm=EPS), epilogue="gated"),
    "head, with the peaks": dict(rows=600, columns=64, format="q8", source=VectorInput(residual=EPS, norm=EPS), epilogue="softcap", peaks=True),
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_shape_gives_the_twins_numbers(gpu, monkeypatch, shape: Shape, case: dict):
    monkeypatch.setattr(test_kernel_linear_vector, "linear_vector", partial(linear_vector, shape=shape))
    check(gpu, **case)
