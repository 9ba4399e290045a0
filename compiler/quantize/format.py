"""What a weight format is: sizes, and functions between float32 rows and the units that kernels read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

UNIT_BYTES = 16  # one aligned load of a GPU thread
TILE_ROWS = 32  # rows stored side by side, so that 32 threads, a row each, read 512 neighbouring bytes
GROUP = 32  # columns that share a scale; all formats pad columns to a multiple of it

Encoded = tuple[np.ndarray, np.ndarray | None]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Format:
    """A weight format.

    encode: float32 (rows, K), K a multiple of GROUP -> (uint8 (rows, units * UNIT_BYTES), float16 (rows, K / GROUP)
        or None). Raises OverflowError where a value is too large for the format.
    decode: its inverse, up to rounding: what kernels compute with. float32 (rows, K).
    encode_raw: source format -> the same from the blocks of a checkpoint, uint8 (rows, bytes), without any rounding.
    """

    name: str
    values_per_unit: int
    has_scale: bool
    encode: Callable[[np.ndarray], Encoded]
    decode: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    encode_raw: dict[str, Callable[[np.ndarray], Encoded]]

    def units(self, columns: int) -> int:
        """Units a row."""
        return round_up(columns, GROUP) // self.values_per_unit

    def bytes(self, rows: int, columns: int) -> tuple[int, int]:
        """Bytes of the data and of the scales of a (rows, columns) matrix, padding included."""
        padded = round_up(rows, TILE_ROWS)
        groups = round_up(columns, GROUP) // GROUP
        scales = padded * round_up(groups, 2) * 2 if self.has_scale else 0
        return padded * self.units(columns) * UNIT_BYTES, scales
