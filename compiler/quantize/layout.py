"""The order of a matrix's bytes: tiles of rows, units of 16 bytes (docs/artifact.md, "Weights").

A block is any number of rows that starts at a tile; packing pads it with zero rows to whole tiles. A tile has 32 rows, or one
where the matrix is a table that is only looked up.
"""

import numpy as np

from compiler.quantize.format import TILE_ROWS, UNIT_BYTES, round_up


def pack_tiles(units: np.ndarray, tile_rows: int = TILE_ROWS) -> np.ndarray:
    """Units of a block by row -> the block's bytes: uint8 (rows, units * 16) -> uint8, flat."""
    return _interleave(units, UNIT_BYTES, tile_rows)


def unpack_tiles(data: np.ndarray, rows: int, tile_rows: int = TILE_ROWS) -> np.ndarray:
    """Inverse of `pack_tiles`, without the padding rows: uint8, flat -> uint8 (rows, units * 16)."""
    return _separate(data, rows, UNIT_BYTES, tile_rows)


def pack_scales(scales: np.ndarray, tile_rows: int = TILE_ROWS) -> np.ndarray:
    """Scales of a block by row -> the block's bytes: float16 or float32 (rows, scales) -> uint8, flat."""
    a_word = 4 // scales.itemsize  # two float16 share a word
    odd = round_up(scales.shape[1], a_word) - scales.shape[1]
    little = scales.astype(scales.dtype.newbyteorder("<"), copy=False)
    return _interleave(np.pad(little, ((0, 0), (0, odd))).view(np.uint8), 4, tile_rows)


def unpack_scales(data: np.ndarray, rows: int, count: int, dtype: str, tile_rows: int = TILE_ROWS) -> np.ndarray:
    """Inverse of `pack_scales`, without the padding: uint8, flat -> (rows, count) of the dtype, "<f2" or "<f4"."""
    return _separate(data, rows, 4, tile_rows).view(dtype)[:, :count]


def _interleave(rows: np.ndarray, size: int, tile_rows: int) -> np.ndarray:
    """Pads to whole tiles, then swaps rows and pieces of `size` bytes in each tile."""
    padded = np.pad(rows, ((0, round_up(len(rows), tile_rows) - len(rows)), (0, 0)))
    tiles = padded.reshape(-1, tile_rows, padded.shape[1] // size, size)
    return tiles.transpose(0, 2, 1, 3).reshape(-1)


def _separate(data: np.ndarray, rows: int, size: int, tile_rows: int) -> np.ndarray:
    padded = round_up(rows, tile_rows)
    tiles = data.reshape(padded // tile_rows, -1, tile_rows, size)
    return tiles.transpose(0, 2, 1, 3).reshape(padded, -1)[:rows]
