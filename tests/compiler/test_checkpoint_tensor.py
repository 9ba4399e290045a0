"""Tensors read the rows asked for, dequantized as the reference does, and refuse damaged values."""

import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from compiler.checkpoint.tensor import SCALE_BYTES, SOURCE_FORMATS
from compiler.errors import GemletError
from tests.fixtures.checkpoint_tensors import float_tensor, raw_tensor
from tests.fixtures.gguf_files import random_blocks

FLOATS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16)}


@pytest.mark.parametrize("source_format", FLOATS)
def test_float_rows_are_the_values_written(tmp_path, source_format):
    values = np.random.default_rng(0).standard_normal((7, 5)).astype(FLOATS[source_format])
    values[2, 1] = ml_dtypes.finfo(values.dtype).max
    tensor = raw_tensor(tmp_path / "weights", values.view(np.uint8), source_format, values.shape)
    for start, stop in ((0, 7), (2, 5), (6, 7)):
        rows = tensor.rows(start, stop)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, values[start:stop].astype(np.float32))


def test_every_quantized_format_has_its_scales_checked():
    assert SCALE_PLACES.keys() == SCALE_BYTES.keys() == set(SOURCE_FORMATS) - FLOATS.keys()


@pytest.mark.parametrize("source_format", SCALE_BYTES)
def test_quantized_rows_equal_the_reference_dequantization(tmp_path, source_format):
    raw = random_blocks(source_format, rows=33, columns=512)
    tensor = raw_tensor(tmp_path / "weights", raw, source_format, (33, 512))
    expected = dequantize(raw, GGMLQuantizationType[source_format])
    np.testing.assert_array_equal(tensor.raw_rows(3, 20), raw[3:20])
    np.testing.assert_array_equal(tensor.rows(3, 20), expected[3:20])
    np.testing.assert_array_equal(tensor.values(), expected)


def test_leading_axes_count_as_rows_and_a_vector_is_one_row(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    experts = float_tensor(tmp_path / "experts", values)
    assert experts.row_count == 6
    np.testing.assert_array_equal(experts.rows(2, 4), values.reshape(6, 4)[2:4])
    np.testing.assert_array_equal(experts.values(), values)
    vector = float_tensor(tmp_path / "vector", values.reshape(-1))
    assert vector.row_count == 1
    np.testing.assert_array_equal(vector.values(), values.reshape(-1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source_format", FLOATS)
def test_a_weight_that_is_not_finite_is_refused_when_read(tmp_path, source_format, bad):
    values = np.ones((4, 6))
    values[2, 3] = bad
    raw = values.astype(FLOATS[source_format]).view(np.uint8)
    tensor = raw_tensor(tmp_path / "weights", raw, source_format, (4, 6), name="blk.0.attn_q.weight")
    np.testing.assert_array_equal(tensor.rows(0, 2), 1)
    with pytest.raises(GemletError, match=r"weights: tensor blk\.0\.attn_q\.weight: row 2 holds a weight that is NaN"):
        tensor.rows(0, 4)


# Places of the float16 scales in a block, by the format's definition.
SCALE_PLACES = {
    **{"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0]},
    **{"Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]},
}


@pytest.mark.parametrize(
    ("source_format", "place"), [(name, place) for name, places in SCALE_PLACES.items() for place in places]
)
def test_a_scale_that_is_not_finite_is_refused_when_read(tmp_path, source_format, place):
    raw = random_blocks(source_format, rows=4, columns=512)
    raw[3, place : place + 2] = np.array([np.nan], np.float16).view(np.uint8)
    assert np.isnan(dequantize(raw, GGMLQuantizationType[source_format])[3]).any()
    tensor = raw_tensor(tmp_path / "weights", raw, source_format, (4, 512))
    tensor.rows(0, 3)
    for read in (tensor.rows, tensor.raw_rows):
        with pytest.raises(GemletError, match="weights: tensor weight: row 3 holds a scale that is NaN"):
            read(2, 4)


def test_a_file_that_has_shrunk_is_refused_when_read(tmp_path):
    tensor = float_tensor(tmp_path / "weights", np.ones((4, 6)))
    (tmp_path / "weights").write_bytes(bytes(4 * 6 * 3))
    tensor.rows(0, 3)
    with pytest.raises(GemletError, match="weights: tensor weight: expected 48 bytes for rows 2 to 4, found 24"):
        tensor.rows(2, 4)
