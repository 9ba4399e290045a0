"""Every byte of a packed matrix lies where docs/artifact.md says."""

import numpy as np
import pytest

from compiler.quantize import FORMATS
from compiler.quantize.format import UNIT_BYTES
from compiler.quantize.layout import pack_scales, pack_tiles, unpack_scales, unpack_tiles

ROWS = (1, 31, 32, 33, 70)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("units", [1, 2, 5])
def test_each_unit_lies_where_the_formula_says_and_padding_is_zero(rows, units):
    values = np.random.default_rng(0).integers(1, 256, (rows, units * UNIT_BYTES), np.uint8)
    packed = pack_tiles(values)
    expected = np.zeros(-(-rows // 32) * 32 * units * UNIT_BYTES, np.uint8)
    for n in range(rows):
        for u in range(units):
            place = 16 * ((n // 32 * units + u) * 32 + n % 32)
            expected[place : place + 16] = values[n, 16 * u : 16 * u + 16]
    np.testing.assert_array_equal(packed, expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_each_float16_scale_lies_where_the_formula_says_and_padding_is_zero(rows, groups):
    scales = np.random.default_rng(0).standard_normal((rows, groups)).astype(np.float16)
    words = (groups + 1) // 2
    expected = np.zeros(-(-rows // 32) * 32 * words * 2, np.float16)
    for n in range(rows):
        for g in range(groups):
            word = 4 * ((n // 32 * words + g // 2) * 32 + n % 32)
            expected[word // 2 + g % 2] = scales[n, g]
    np.testing.assert_array_equal(pack_scales(scales).view(np.float16), expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_float32_scale_lies_where_the_formula_says_and_padding_is_zero(rows, count):
    scales = np.random.default_rng(0).standard_normal((rows, count)).astype(np.float32)
    expected = np.zeros(-(-rows // 32) * 32 * count, np.float32)
    for n in range(rows):
        for b in range(count):
            expected[(n // 32 * count + b) * 32 + n % 32] = scales[n, b]
    np.testing.assert_array_equal(pack_scales(scales).view(np.float32), expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
def test_unpacking_is_the_inverse(rows, dtype):
    rng = np.random.default_rng(0)
    units = rng.integers(0, 256, (rows, 3 * UNIT_BYTES), np.uint8)
    np.testing.assert_array_equal(unpack_tiles(pack_tiles(units), rows), units)
    scales = rng.standard_normal((rows, 3)).astype(dtype)
    np.testing.assert_array_equal(unpack_scales(pack_scales(scales), rows, 3, dtype), scales)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (33, 96), (64, 40)])
def test_packed_sizes_are_those_that_the_format_states(name, rows, columns):
    padded = np.zeros((rows, FORMATS[name].padded(columns)), np.float32)
    units, scales = FORMATS[name].encode(padded)
    data_bytes, scale_bytes = FORMATS[name].bytes(rows, columns)
    assert pack_tiles(units).size == data_bytes
    assert (0 if scales is None else pack_scales(scales).size) == scale_bytes
