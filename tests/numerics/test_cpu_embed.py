"""Embedding on the CPU against its twin: the very weights, times a scale."""
import numpy as np
import pytest

from compiler.cpu_kernels.cpu_kernel import SIMD128
from compiler.cpu_kernels.embed import embed_kernel, last_row_kernel
from compiler.cpu_kernels.weight_quads import is_paired
from compiler.quantize import FORMATS
from compiler.quantize.format import TABLE_TILE_ROWS, TILE_ROWS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within, encode, normal, sentinels, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.fixtures.quads import transposed

SCALE = 25.25


@pytest.mark.parametrize(("table", "simd"), [(False, None), (False, SIMD128), (True, SIMD128)])
@pytest.mark.parametrize(("format", "width"), [*((format, width) for format in FORMATS for width in (96, 100)), ("f16", 4), ("q8", 640)])
def test_rows(format, width, table, simd):
    vocabulary = 70
    buffers, weight = encode(normal(np.random.default_rng(3), vocabulary, width), format, TABLE_TILE_ROWS if table else TILE_ROWS)
    ids = (5, 0, 69, 33, 1000, -7)
    kernel = embed_kernel(len(ids), vocabulary, width, format, SCALE, table, simd)
    arrays = {"W": buffers[0] if table else transposed(buffers[0], is_paired(format, simd)), "S": buffers[-1], "STATE_WORDS": state_words(length=len(ids), tokens=ids),
              "Y": sentinels(len(ids), width)}
    found = run_cpu_kernel(kernel, arrays, [(0, 4), (4, 6)])["Y"]
    expected = SCALE * weight[np.clip(ids, 0, vocabulary - 1)].astype(np.float64)
    # The scale of the group times that of the embedding, times the value: two roundings, and one more of the twin's weights.
    assert_within(found, expected, 3 * tolerances.U * np.abs(expected))


@pytest.mark.parametrize("table", [False, True])
def test_smallest_float16_are_exact(table):
    weight = np.float32(2) ** np.arange(-24, -8, dtype=np.float32) * np.where(np.arange(16) % 2, -1, 1).astype(np.float32)
    matrix = np.tile(weight, (4, 2))
    buffers, _ = encode(matrix, "f16", TABLE_TILE_ROWS if table else TILE_ROWS)
    arrays = {"W": buffers[0] if table else transposed(buffers[0]), "STATE_WORDS": state_words(length=1, tokens=(3,)), "Y": sentinels(1, 32)}
    assert (run_cpu_kernel(embed_kernel(1, 4, 32, "f16", 2.0, table, SIMD128), arrays, [(0, 1)])["Y"] == 2 * matrix[3]).all()


def test_last_row():
    x = normal(np.random.default_rng(4), 5, 64)
    found = run_cpu_kernel(last_row_kernel(5, 64), {"X": x, "STATE_WORDS": state_words(length=3), "Y": sentinels(64)}, [(0, 1)])["Y"]
    assert (found == x[2]).all()
