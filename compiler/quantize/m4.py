"""m4: 4 bits with a float32 scale a row (or a block of columns); q + 8 is stored, in the order of q4."""

import numpy as np

from compiler.quantize.format import Format
from compiler.quantize.row_scaled import row_scaled

HALF = 16  # byte j of a unit holds value j and value j + 16


def pack(q: np.ndarray) -> np.ndarray:
    stored = (q + np.int8(8)).view(np.uint8)
    return stored[:, :, :HALF] | stored[:, :, HALF:] << 4


def unpack(units: np.ndarray) -> np.ndarray:
    return np.concatenate([units & 15, units >> 4], axis=2).view(np.int8) - np.int8(8)


def make(block: int | None) -> Format:
    return row_scaled(4, block, pack, unpack)
