"""Weight formats: what they keep exactly, how far they round, and their edges."""

import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from compiler.quantize import FORMATS
from compiler.quantize.format import GROUP, UNIT_BYTES
from tests.fixtures.gguf_files import random_blocks

LARGEST_F16 = float(np.finfo(np.float16).max)
SMALLEST_F16 = float(np.finfo(np.float16).smallest_subnormal)


def normal(rows: int = 9, columns: int = 96, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, columns), np.float32) * np.float32(scale)


def round_trip(name: str, values: np.ndarray) -> np.ndarray:
    return FORMATS[name].decode(*FORMATS[name].encode(values))


@pytest.mark.parametrize("name", FORMATS)
def test_units_and_scales_have_the_sizes_that_the_format_states(name):
    weight_format = FORMATS[name]
    units, scales = weight_format.encode(normal(columns=192))
    assert units.dtype == np.uint8 and units.shape == (9, weight_format.units(192) * UNIT_BYTES)
    assert weight_format.has_scale == (scales is not None)
    if scales is not None:
        assert scales.dtype == np.dtype(weight_format.scale.dtype) and scales.shape == (9, weight_format.scale.count(192))


@pytest.mark.parametrize(("name", "dtype"), [("f32", np.float32), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_floats_keep_the_values_of_their_type_and_round_others_to_nearest(name, dtype):
    values = normal()
    np.testing.assert_array_equal(round_trip(name, values), values.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "source_format"), [("q4", "Q4_0"), ("q8", "Q4_0"), ("q8", "Q5_0"), ("q8", "Q8_0")]
)
def test_blocks_of_the_same_grid_are_imported_bit_for_bit(name, source_format):
    raw = random_blocks(source_format, rows=11, columns=160)
    units, scales = FORMATS[name].encode_raw[source_format](raw)
    assert units.shape == (11, FORMATS[name].units(160) * UNIT_BYTES)
    expected = dequantize(raw, GGMLQuantizationType[source_format])
    np.testing.assert_array_equal(FORMATS[name].decode(units, scales).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("columns", [96, 72])
def test_float16_is_imported_bit_for_bit(columns):
    bits = np.random.default_rng(1).integers(0, 1 << 16, (11, columns), np.uint16)
    bits &= np.uint16(0xBFFF)  # no infinity and no NaN, which a checkpoint's reader refuses
    units, scales = FORMATS["f16"].encode_raw["F16"](bits.view(np.uint8))
    assert scales is None and units.shape == (11, FORMATS["f16"].units(columns) * UNIT_BYTES)
    np.testing.assert_array_equal(units.view(np.uint16)[:, :columns], bits)
    assert not units.view(np.uint16)[:, columns:].any()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_q8_is_within_half_a_step(scale):
    values = normal(scale=scale)
    _, scales = FORMATS["q8"].encode(values)
    step = np.repeat(np.abs(scales.astype(np.float32)), GROUP, axis=1)
    # Half a step; the largest value may be off by 127 x 2^-11 steps, the scale's own rounding, which is less.
    assert (np.abs(round_trip("q8", values) - values) <= 0.5001 * step).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_q4_is_within_half_a_step_and_a_step_at_the_end_that_the_grid_lacks(scale):
    values = normal(scale=scale)
    _, scales = FORMATS["q4"].encode(values)
    signed_step = np.repeat(scales.astype(np.float32), GROUP, axis=1)
    error = np.abs(round_trip("q4", values) - values) / np.abs(signed_step)
    lacking = values / signed_step > 7.5  # the grid ends at +7
    assert lacking.any()
    # The scale's own rounding moves the ends by 8 x 2^-11 steps.
    assert (error[~lacking] <= 0.5).all() and (error[lacking] <= 1 + 8 / 2048).all()


def test_q4_has_the_scales_of_the_reference_q4_0():
    values = normal()
    reference = quantize(values, GGMLQuantizationType.Q4_0).reshape(9, 3, 18)
    expected = np.ascontiguousarray(reference[:, :, :2]).view(np.float16)[:, :, 0]
    np.testing.assert_array_equal(FORMATS["q4"].encode(values)[1], expected)


def test_q4_puts_value_j_low_and_value_j_plus_16_high():
    values = np.zeros((1, GROUP), np.float32)
    values[0, [0, 3, 19]] = [-8, 5, 7]
    units, scales = FORMATS["q4"].encode(values)
    assert scales[0, 0] == 1
    expected = np.full(16, 0x88, np.uint8)
    expected[0] = 0x80
    expected[3] = (7 + 8) << 4 | (5 + 8)
    np.testing.assert_array_equal(units[0], expected)


def test_q8_rounds_halves_to_even():
    values = np.zeros((1, GROUP), np.float32)
    values[0, :5] = [127, 0.5, 1.5, -2.5, -127]
    units, scales = FORMATS["q8"].encode(values)
    assert scales[0, 0] == 1
    np.testing.assert_array_equal(units.view(np.int8)[0, :5], [127, 0, 2, -2, -127])


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_a_group_of_zeros_stays_zero(name):
    values = normal()
    values[2, GROUP : 2 * GROUP] = 0
    decoded = round_trip(name, values)
    assert (decoded[2, GROUP : 2 * GROUP] == 0).all() and np.isfinite(decoded).all()


@pytest.mark.parametrize("magnitude", [1e-8, 3e-7, 5e-6, 1e-5, 1e-4])
def test_q8_scales_among_subnormals_never_clip(magnitude):
    values = normal(scale=1.0)
    values *= np.float32(magnitude) / np.abs(values).max(axis=1, keepdims=True)
    _, scales = FORMATS["q8"].encode(values)
    step = np.repeat(scales.astype(np.float32), GROUP, axis=1)
    assert (np.abs(round_trip("q8", values) - values) <= 0.5001 * step).all()
    # A scale is at most a subnormal's step above the one that would be exact.
    assert (scales.astype(np.float32) <= magnitude / 127 * 1.001 + SMALLEST_F16).all()


@pytest.mark.parametrize(
    ("name", "largest"), [("f16", LARGEST_F16), ("q8", 127 * LARGEST_F16), ("q4", 8 * LARGEST_F16)]
)
def test_values_up_to_the_formats_limit_are_finite_and_beyond_it_refused(name, largest):
    values = np.full((1, GROUP), -largest, np.float32)
    np.testing.assert_array_equal(round_trip(name, values), values)
    with pytest.raises(OverflowError, match=f"is too large for {name}; take f32"):
        FORMATS[name].encode(values * np.float32(1.01))


def test_bf16_refuses_what_rounds_to_infinity():
    with pytest.raises(OverflowError, match="is too large for bf16; take f32"):
        FORMATS["bf16"].encode(np.full((1, GROUP), np.finfo(np.float32).max))
