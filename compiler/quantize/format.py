"""What a weight format is: sizes, and functions between float32 rows and the units that kernels read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

UNIT_BYTES = 16  # one aligned load of a GPU thread
TILE_ROWS = 32  # rows stored side by side, so that 32 threads, a row each, read 512 neighbouring bytes
TABLE_TILE_ROWS = 1  # of a table that is only looked up: threads share a row then, and its bytes lie together
GROUP = 32  # columns that share a float16 scale; all formats pad columns to a multiple of it

Encoded = tuple[np.ndarray, np.ndarray | None]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class ScaleLayout:
    """The scales of a row. dtype: numpy's, "<f2" or "<f4". columns: how many share a scale; None: the whole row."""

    dtype: str
    columns: int | None

    def count(self, columns: int) -> int:
        """Scales of a row of `columns`."""
        return 1 if self.columns is None else -(-columns // self.columns)

    def words(self, columns: int) -> int:
        """The 32-bit words that they take."""
        return -(-self.count(columns) * np.dtype(self.dtype).itemsize // 4)


GROUP_SCALES = ScaleLayout("<f2", GROUP)


@dataclass(frozen=True)
class Format:
    """A weight format. scale: None where it has no scales.

    encode: float32 (rows, K), K padded -> (uint8 (rows, units * UNIT_BYTES), scales (rows, count) or None).
        Raises OverflowError where a value is too large for the format.
    decode: its inverse, up to rounding: what kernels compute with. float32 (rows, K).
    encode_raw: source format -> the same from the rows of a checkpoint, uint8 (rows, bytes), without any rounding.
    """

    name: str
    values_per_unit: int
    scale: ScaleLayout | None
    encode: Callable[[np.ndarray], Encoded]
    decode: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    encode_raw: dict[str, Callable[[np.ndarray], Encoded]]

    @property
    def has_scale(self) -> bool:
        return self.scale is not None

    def padded(self, columns: int) -> int:
        """Columns with their padding: whole groups of whole units."""
        return round_up(columns, max(GROUP, self.values_per_unit))

    def units(self, columns: int) -> int:
        """Units a row."""
        return self.padded(columns) // self.values_per_unit

    def bytes(self, rows: int, columns: int, tile_rows: int = TILE_ROWS) -> tuple[int, int]:
        """Bytes of the data and of the scales of a (rows, columns) matrix, padding included."""
        padded = round_up(rows, tile_rows)
        scales = padded * self.scale.words(columns) * 4 if self.scale else 0
        return padded * self.units(columns) * UNIT_BYTES, scales
