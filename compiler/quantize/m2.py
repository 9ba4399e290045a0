"""m2: 2 bits with a float32 scale a row (or a block of columns); q + 2 is stored."""

import numpy as np

from compiler.quantize.format import Format
from compiler.quantize.row_scaled import row_scaled

QUARTER = 16  # byte j of a unit holds the values j, j + 16, j + 32 and j + 48
SHIFTS = (0, 2, 4, 6)


def pack(q: np.ndarray) -> np.ndarray:
    stored = (q + np.int8(2)).view(np.uint8)
    parts = np.split(stored, len(SHIFTS), axis=2)
    return parts[0] | parts[1] << 2 | parts[2] << 4 | parts[3] << 6


def unpack(units: np.ndarray) -> np.ndarray:
    return np.concatenate([units >> shift & 3 for shift in SHIFTS], axis=2).view(np.int8) - np.int8(2)


def make(block: int | None) -> Format:
    return row_scaled(2, block, pack, unpack)
