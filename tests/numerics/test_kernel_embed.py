"""Embedding and last-row kernels against their twins, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.embed import embed_kernel, last_row_kernel
from compiler.quantize import FORMATS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, sentinels, state_words

VOCABULARY = 70


def check(gpu, ids: list[int], width: int, format: str, scale: float) -> None:
    buffers, table = encode(normal(np.random.default_rng(width), VOCABULARY, width), format)
    kernel = embed_kernel(len(ids), VOCABULARY, width, format, scale)
    # What stands in the state before the ids must not be taken for ids.
    state = state_words(position=3, length=len(ids), tokens=ids)
    out = gpu.run(kernel, *buffers, state, sentinels(len(ids) * width + 4))[-1]
    assert (out[len(ids) * width :] == SENTINEL).all()
    expected = twins.embed(np.array(ids), table, scale)
    # Roundings: the constant, its product with the group's scale, the product with the value.
    assert_within(out[: len(ids) * width].reshape(len(ids), width), expected, 3 * tolerances.U * np.abs(expected))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("width", [4, 36, 100])
def test_rows_of_the_table_are_scaled(gpu, format, width):
    check(gpu, [0, 31, 32, VOCABULARY - 1, 5, 5], width, format, width**0.5)


@pytest.mark.parametrize("format", ["f32", "q8", "q4"])
def test_one_token_and_more_units_than_threads(gpu, format):
    check(gpu, [VOCABULARY - 1], 2080, format, 1536**0.5)


@pytest.mark.parametrize("format", FORMATS)
def test_ids_outside_the_vocabulary_read_its_ends(gpu, format):
    check(gpu, [VOCABULARY, 2**31 - 1, -1, -(2**31)], 36, format, 6.0)


@pytest.mark.parametrize(("tokens", "width", "length"), [(5, 4, 1), (5, 100, 3), (16, 640, 16), (2, 260, 2)])
def test_last_row_is_the_last_that_counts(gpu, tokens, width, length):
    x = normal(np.random.default_rng(0), tokens, width)
    y = gpu.run(last_row_kernel(tokens, width), x, state_words(position=9, length=length), sentinels(width + 4))[-1]
    np.testing.assert_array_equal(y[:width], twins.last_row(x, length))
    assert (y[width:] == SENTINEL).all()
