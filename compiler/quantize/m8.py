"""m8: int8 with a float32 scale a row (or a block of columns)."""

import numpy as np

from compiler.quantize.format import Format
from compiler.quantize.row_scaled import row_scaled


def pack(q: np.ndarray) -> np.ndarray:
    return q.view(np.uint8)


def unpack(units: np.ndarray) -> np.ndarray:
    return units.view(np.int8)


def make(block: int | None) -> Format:
    return row_scaled(8, block, pack, unpack)
