"""Whole matrices: streamed from several tensors in little memory, decoded to the same values."""

import tracemalloc

import numpy as np
import pytest

from compiler.checkpoint import Tensor
from compiler.errors import GemletError
from compiler.quantize import FORMATS
from compiler.quantize import matrix as matrix_module
from compiler.quantize.format import TABLE_TILE_ROWS, TILE_ROWS
from compiler.quantize.matrix import EncodedMatrix, decode_matrix
from tests.fixtures.checkpoint_tensors import float_tensor, raw_tensor
from tests.fixtures.gguf_files import random_blocks

MEBIBYTE = 1 << 20


def encoded_buffers(matrix: EncodedMatrix) -> tuple[bytes, bytes]:
    data = b"".join(chunk.tobytes() for chunk in matrix.data())
    return data, matrix.scales().tobytes()


@pytest.fixture
def tensors(tmp_path):
    """Three tensors of one width, none of whose row counts fits a tile or a block."""
    rng = np.random.default_rng(0)
    shapes = {"q": (70, 72), "k": (1, 72), "v": (45, 72)}
    return [float_tensor(tmp_path / name, rng.standard_normal(shape), name) for name, shape in shapes.items()]


@pytest.mark.parametrize("tile_rows", [TILE_ROWS, TABLE_TILE_ROWS])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block_values", [1, 64 * 72, 1 << 21])
def test_tensors_are_joined_row_by_row_whatever_the_block(tensors, monkeypatch, name, block_values, tile_rows):
    monkeypatch.setattr(matrix_module, "BLOCK_VALUES", block_values)
    matrix = EncodedMatrix(tensors, name, tile_rows)
    data, scales = encoded_buffers(matrix)
    assert (matrix.rows, matrix.columns) == (116, 72)
    assert (len(data), len(scales)) == (matrix.data_bytes, matrix.scale_bytes) == FORMATS[name].bytes(116, 72, tile_rows)
    padding = FORMATS[name].padded(72) - 72
    values = np.pad(np.concatenate([tensor.values() for tensor in tensors]), ((0, 0), (0, padding)))
    expected = FORMATS[name].decode(*FORMATS[name].encode(values))[:, :72]
    np.testing.assert_array_equal(decode_matrix(data, scales, name, 116, 72, tile_rows), expected)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block_values", [1, 64 * 72, 1 << 21])
@pytest.mark.parametrize("gaps", [(29, 32), (4, 5), (58, 60), (2, 67)])
def test_rows_of_zeros_come_where_parts_are_filled_up(tensors, monkeypatch, name, block_values, gaps):
    monkeypatch.setattr(matrix_module, "BLOCK_VALUES", block_values)
    held, stored = gaps
    matrix = EncodedMatrix(tensors, name, gaps=gaps)
    decoded = decode_matrix(*encoded_buffers(matrix), name, matrix.rows, matrix.columns).reshape(-1, stored, 72)
    plain = EncodedMatrix(tensors, name)
    expected = decode_matrix(*encoded_buffers(plain), name, 116, 72)
    np.testing.assert_array_equal(decoded[:, :held].reshape(116, 72), expected)
    assert matrix.rows == 116 // held * stored and not decoded[:, held:].any()


@pytest.mark.parametrize(("name", "sources"), [("q4", ["Q4_0", "Q4_0"]), ("q8", ["Q4_0", "Q5_0", "Q8_0"])])
def test_blocks_of_the_same_grid_stay_lossless_through_the_layout(tmp_path, name, sources):
    tensors = [
        raw_tensor(tmp_path / f"{number}", random_blocks(source, 40, 96, seed=number), source, (40, 96))
        for number, source in enumerate(sources)
    ]
    matrix = EncodedMatrix(tensors, name)
    decoded = decode_matrix(*encoded_buffers(matrix), name, matrix.rows, matrix.columns)
    np.testing.assert_array_equal(decoded, np.concatenate([tensor.values() for tensor in tensors]))


def test_experts_are_rows_of_one_matrix(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 20, 32)).astype(np.float32)
    matrix = EncodedMatrix([float_tensor(tmp_path / "experts", values)], "f32")
    decoded = decode_matrix(*encoded_buffers(matrix), "f32", 60, 32)
    np.testing.assert_array_equal(decoded, values.reshape(60, 32))


def test_scales_are_not_given_out_half_done(tensors):
    matrix = EncodedMatrix(tensors, "q8")
    with pytest.raises(RuntimeError, match="only after data"):
        matrix.scales()
    first, second = encoded_buffers(matrix), encoded_buffers(matrix)
    assert first == second


def test_tensors_of_different_widths_are_refused_by_name(tmp_path):
    tensors = [float_tensor(tmp_path / name, np.ones((2, width)), name) for name, width in (("a", 32), ("b", 64))]
    with pytest.raises(GemletError, match=r"differ in their inputs: a \(2, 32\), b \(2, 64\)"):
        EncodedMatrix(tensors, "f32")


def test_a_value_too_large_for_the_format_names_file_and_tensor(tmp_path):
    tensor = float_tensor(tmp_path / "weights", np.full((2, 32), 1e6), "up_proj")
    with pytest.raises(GemletError, match=r"weights: tensor up_proj: a weight of .* 1e\+06 is too large for f16"):
        encoded_buffers(EncodedMatrix([tensor], "f16"))


@pytest.mark.parametrize("name", ["q4", "q8", "f16"])
def test_streaming_needs_memory_for_a_block_and_not_for_the_matrix(tmp_path, name):
    rows, columns = 60_000, 512
    path = tmp_path / "weights"
    with open(path, "wb") as stream:  # 117 MiB, most of it a hole that reads as zeros
        stream.write(np.random.default_rng(0).standard_normal((1000, columns), np.float32).tobytes())
        stream.truncate(rows * columns * 4)
    matrix = EncodedMatrix([Tensor("weight", (rows, columns), "F32", path, "weight", offset=0)], name)
    tracemalloc.start()
    produced = sum(chunk.size for chunk in matrix.data())
    peak = tracemalloc.get_traced_memory()[1] - matrix.scale_bytes
    tracemalloc.stop()
    assert produced == matrix.data_bytes
    # A block is 8 MiB as float32; reading, scaling, rounding and packing hold up to six such arrays at once.
    assert peak < 56 * MEBIBYTE
