"""Embedding and last-row kernels against their twins, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.embed import embed_kernel, last_row_kernel
from compiler.quantize import FORMATS
from compiler.quantize.format import TABLE_TILE_ROWS
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


def check_part(gpu, ids: list[int], width: int, format: str, first: int, count: int) -> None:
    """A table of which rows first ... first + count - 1 are there; what is written is what the whole table gives."""
    scale = width**0.5
    # What the kernel must not read is left out: a read beyond the part gives zeros, or another row.
    buffers, part = encode(normal(np.random.default_rng(width), VOCABULARY, width)[first : first + count], format, TABLE_TILE_ROWS)
    kernel = embed_kernel(len(ids), VOCABULARY, width, format, scale, table=True)
    words = np.array([first, count, VOCABULARY], np.int32)
    out = gpu.run(kernel, *buffers, words, state_words(position=3, length=len(ids), tokens=ids), sentinels(len(ids) * width + 4))[-1]
    assert (out[len(ids) * width :] == SENTINEL).all()
    rows = np.clip(ids, 0, VOCABULARY - 1) - first
    here = (rows >= 0) & (rows < count)
    found = out[: len(ids) * width].reshape(len(ids), width)
    assert (found[~here] == SENTINEL).all()
    expected = twins.embed(rows[here], part, scale)
    assert_within(found[here], expected, 3 * tolerances.U * np.abs(expected))


@pytest.mark.parametrize(("format", "width"), [*((format, width) for format in FORMATS for width in (36, 160)), ("m4_32", 160)])
def test_rows_of_a_table_that_is_only_looked_up_are_scaled(gpu, format, width):
    check_part(gpu, [0, 31, 32, VOCABULARY - 1, 5, 5, VOCABULARY, -1], width, format, 0, VOCABULARY)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("first", "count"), [(0, 33), (34, 36)])
def test_a_part_of_a_table_leaves_the_rows_of_others_untouched(gpu, format, first, count):
    check_part(gpu, [0, 32, 33, 34, 69, -7, 2**31 - 1], 100, format, first, count)


@pytest.mark.parametrize(("tokens", "width", "length"), [(5, 4, 1), (5, 100, 3), (16, 640, 16), (2, 260, 2)])
def test_last_row_is_the_last_that_counts(gpu, tokens, width, length):
    x = normal(np.random.default_rng(0), tokens, width)
    y = gpu.run(last_row_kernel(tokens, width), x, state_words(position=9, length=length), sentinels(width + 4))[-1]
    np.testing.assert_array_equal(y[:width], twins.last_row(x, length))
    assert (y[width:] == SENTINEL).all()
