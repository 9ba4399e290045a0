"""Every byte of a packed matrix lies where docs/artifact.md says."""

import numpy as np
import pytest

from compiler.quantize import FORMATS
from compiler.quantize.format import TABLE_TILE_ROWS, TILE_ROWS, UNIT_BYTES
from compiler.quantize.layout import pack_scales, pack_tiles, unpack_scales, unpack_tiles

ROWS = (1, 31, 32, 33, 70)
TILES = (TILE_ROWS, TABLE_TILE_ROWS)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("units", [1, 2, 5])
def test_each_unit_lies_where_the_formula_says_and_padding_is_zero(tile, rows, units):
    values = np.random.default_rng(0).integers(1, 256, (rows, units * UNIT_BYTES), np.uint8)
    packed = pack_tiles(values, tile)
    expected = np.zeros(-(-rows // tile) * tile * units * UNIT_BYTES, np.uint8)
    for n in range(rows):
        for u in range(units):
            place = 16 * ((n // tile * units + u) * tile + n % tile)
            expected[place : place + 16] = values[n, 16 * u : 16 * u + 16]
    np.testing.assert_array_equal(packed, expected)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_each_float16_scale_lies_where_the_formula_says_and_padding_is_zero(tile, rows, groups):
    scales = np.random.default_rng(0).standard_normal((rows, groups)).astype(np.float16)
    words = (groups + 1) // 2
    expected = np.zeros(-(-rows // tile) * tile * words * 2, np.float16)
    for n in range(rows):
        for g in range(groups):
            word = 4 * ((n // tile * words + g // 2) * tile + n % tile)
            expected[word // 2 + g % 2] = scales[n, g]
    np.testing.assert_array_equal(pack_scales(scales, tile).view(np.float16), expected)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_float32_scale_lies_where_the_formula_says_and_padding_is_zero(tile, rows, count):
    scales = np.random.default_rng(0).standard_normal((rows, count)).astype(np.float32)
    expected = np.zeros(-(-rows // tile) * tile * count, np.float32)
    for n in range(rows):
        for b in range(count):
            expected[(n // tile * count + b) * tile + n % tile] = scales[n, b]
    np.testing.assert_array_equal(pack_scales(scales, tile).view(np.float32), expected)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
def test_unpacking_is_the_inverse(tile, rows, dtype):
    rng = np.random.default_rng(0)
    units = rng.integers(0, 256, (rows, 3 * UNIT_BYTES), np.uint8)
    np.testing.assert_array_equal(unpack_tiles(pack_tiles(units, tile), rows, tile), units)
    scales = rng.standard_normal((rows, 3)).astype(dtype)
    np.testing.assert_array_equal(unpack_scales(pack_scales(scales, tile), rows, 3, dtype, tile), scales)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (33, 96), (64, 40)])
def test_packed_sizes_are_those_that_the_format_states(tile, name, rows, columns):
    padded = np.zeros((rows, FORMATS[name].padded(columns)), np.float32)
    units, scales = FORMATS[name].encode(padded)
    data_bytes, scale_bytes = FORMATS[name].bytes(rows, columns, tile)
    assert pack_tiles(units, tile).size == data_bytes
    assert (0 if scales is None else pack_scales(scales, tile).size) == scale_bytes


def test_a_row_of_a_table_lies_in_one_piece():
    rng = np.random.default_rng(0)
    units, scales = rng.integers(0, 256, (70, 5 * UNIT_BYTES), np.uint8), rng.standard_normal((70, 10)).astype(np.float16)
    assert pack_tiles(units, TABLE_TILE_ROWS).tobytes() == units.tobytes()
    assert pack_scales(scales, TABLE_TILE_ROWS).tobytes() == scales.tobytes()
