"""A tensor in a checkpoint file: where its bytes lie, read and dequantized a block of rows at a time.

Bytes are read with plain file reads, not through a memory map: pages of a map count as memory of the process, so
streaming a 10 GB checkpoint through one would look like (and on a full machine be) 10 GB of memory.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from compiler.errors import GemletError

SOURCE_FORMATS = (
    *("F32", "F16", "BF16"),
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
)

# Where a quantized block keeps its float16 scales and offsets: (first byte, end byte).
SCALE_BYTES = {
    **{"Q4_0": (0, 2), "Q4_1": (0, 4), "Q5_0": (0, 2), "Q5_1": (0, 4), "Q8_0": (0, 2)},
    **{"Q2_K": (80, 84), "Q3_K": (108, 110), "Q4_K": (0, 4), "Q5_K": (0, 4), "Q6_K": (208, 210)},
}


def block_sizes(source_format: str) -> tuple[int, int]:
    """(values, bytes) of one block of the format; a block of F32, F16 and BF16 is one value."""
    return GGML_QUANT_SIZES[GGMLQuantizationType[source_format]]


@dataclass(frozen=True)
class Tensor:
    """One named tensor of a checkpoint.

    `shape` is in Hugging Face order: outputs first, inputs (the contiguous axis) last. All axes but the last
    are counted as rows, so that a vector is one row.
    """

    name: str  # canonical Hugging Face name of the text model
    shape: tuple[int, ...]
    source_format: str  # one of SOURCE_FORMATS
    file: Path
    source_name: str  # what the file calls it
    offset: int  # of the first byte in the file
    add: float = 0.0  # added on reading: 1 for norms stored as w that multiply by 1 + w

    @property
    def row_count(self) -> int:
        return prod(self.shape[:-1])

    @property
    def row_bytes(self) -> int:
        values, size = block_sizes(self.source_format)
        return self.shape[-1] // values * size

    def raw_rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as stored: uint8 of shape (rows, bytes a row).

        Raises GemletError where the file has become too short, or where a scale or a weight is NaN or infinite.
        """
        count = (stop - start) * self.row_bytes
        with open(self.file, "rb") as stream:
            stream.seek(self.offset + start * self.row_bytes)
            raw = np.fromfile(stream, np.uint8, count)
        if raw.size != count:
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: expected {count} bytes for rows {start} to {stop}, "
                f"found {raw.size}. The file is truncated; download it again."
            )
        raw = raw.reshape(stop - start, self.row_bytes)
        self._require_finite(raw, start)
        return raw

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), dequantized: float32 of shape (rows, shape[-1]). Raises as `raw_rows` does."""
        raw = self.raw_rows(start, stop)
        values = dequantize(raw, GGMLQuantizationType[self.source_format]).reshape(stop - start, self.shape[-1])
        return values + np.float32(self.add) if self.add else values

    def values(self) -> np.ndarray:
        """The whole tensor, dequantized: float32 of `shape`. Meant for vectors. Raises as `raw_rows` does."""
        return self.rows(0, self.row_count).reshape(self.shape)

    def _require_finite(self, raw: np.ndarray, start: int) -> None:
        """Raises GemletError naming the first of these rows with a NaN or infinite weight, or scale of weights."""
        scales = SCALE_BYTES.get(self.source_format)
        if scales:
            blocks = raw.reshape(raw.shape[0], -1, block_sizes(self.source_format)[1])
            finite = np.isfinite(np.ascontiguousarray(blocks[:, :, slice(*scales)]).view(np.float16))
        elif self.source_format == "BF16":  # numpy has no such type; all eight exponent bits set: NaN or infinite
            finite = (raw.view(np.uint16) & 0x7F80) != 0x7F80
        else:
            finite = np.isfinite(raw.view(np.float32 if self.source_format == "F32" else np.float16))
        if not finite.all():
            row = start + int(np.argwhere(~finite)[0][0])
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: row {row} holds a {'scale' if scales else 'weight'} that is "
                f"NaN or infinite; expected finite {self.source_format} values. "
                "The file is damaged; download or convert it again."
            )
