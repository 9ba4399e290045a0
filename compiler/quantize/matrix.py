"""Encodes a whole matrix block by block, so that memory holds one block and the scales, not the matrix."""

from collections.abc import Iterator

import numpy as np

from compiler.checkpoint.tensor import Tensor
from compiler.errors import GemletError
from compiler.quantize import format_named
from compiler.quantize.format import TILE_ROWS, UNIT_BYTES, Encoded, Format
from compiler.quantize.layout import pack_scales, pack_tiles, unpack_scales, unpack_tiles

BLOCK_VALUES = 1 << 21  # 8 MiB as float32; encoding holds a handful of such arrays at a time


class EncodedMatrix:
    """Tensors of one width, one below the other, as one matrix in a weight format.

    `data` yields the data buffer in pieces; once it is exhausted, `scales` is the scale buffer.
    """

    def __init__(self, tensors: list[Tensor], format_name: str, tile_rows: int = TILE_ROWS, gaps: tuple[int, int] | None = None) -> None:
        """tile_rows: rows of a tile of the layout. gaps: (held, stored): after each `held` rows come rows of zeros, `stored` together. Raises GemletError, naming the tensors, where their widths differ."""
        widths = {tensor.shape[-1] for tensor in tensors}
        if len(widths) != 1:
            names = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in tensors)
            raise GemletError(f"{tensors[0].file}: tensors that form one matrix differ in their inputs: {names}.")
        self.tensors, self.tile_rows = tensors, tile_rows
        self.format: Format = format_named(format_name)
        self.gaps = gaps or (1, 1)
        held, stored = self.gaps
        self.rows, self.columns = sum(tensor.row_count for tensor in tensors) // held * stored, widths.pop()
        self.data_bytes, self.scale_bytes = self.format.bytes(self.rows, self.columns, tile_rows)
        self._scales: list[np.ndarray] = []

    def data(self) -> Iterator[np.ndarray]:
        """The data buffer as flat uint8 arrays of whole tiles, in order.

        Raises GemletError, naming file and tensor, for weights that are not finite or too large for the format.
        """
        self._scales = []
        block = max(self.tile_rows, BLOCK_VALUES // self.columns // self.tile_rows * self.tile_rows)
        for start in range(0, self.rows, block):
            units, scales = self._encode(start, min(start + block, self.rows))
            if scales is not None:
                self._scales.append(pack_scales(scales, self.tile_rows))
            yield pack_tiles(units, self.tile_rows)

    def scales(self) -> np.ndarray:
        """The scale buffer, flat uint8; empty for a format without scales. Only after `data` was exhausted."""
        scales = np.concatenate(self._scales) if self._scales else np.empty(0, np.uint8)
        if scales.size != self.scale_bytes:
            raise RuntimeError("scales are complete only after data() was exhausted")
        return scales

    def _encode(self, start: int, stop: int) -> Encoded:
        """Rows [start, stop) of the matrix."""
        held, stored = self.gaps
        if held == stored:
            return self._encode_held(start, stop)
        # The checkpoint's rows among them are neighbours there.
        first, last = (row // stored * held + min(row % stored, held) for row in (start, stop))
        units = np.zeros((stop - start, self.format.units(self.columns) * UNIT_BYTES), np.uint8)
        scales = np.zeros((stop - start, self.format.scale.count(self.columns)), self.format.scale.dtype) if self.format.scale else None
        if first < last:
            places = np.arange(start, stop) % stored < held
            units[places], found = self._encode_held(first, last)
            if scales is not None:
                scales[places] = found
        return units, scales

    def _encode_held(self, start: int, stop: int) -> Encoded:
        """Rows [start, stop) of the checkpoint's, which may span tensors."""
        pieces = []
        first = 0
        for tensor in self.tensors:
            low, high = max(start - first, 0), min(stop - first, tensor.row_count)
            if low < high:
                pieces.append(encode_rows(tensor, low, high, self.format))
            first += tensor.row_count
        units = np.concatenate([units for units, _ in pieces])
        return units, np.concatenate([scales for _, scales in pieces]) if self.format.has_scale else None


def encode_rows(tensor: Tensor, start: int, stop: int, weight_format: Format) -> Encoded:
    if tensor.source_format in weight_format.encode_raw:
        return weight_format.encode_raw[tensor.source_format](tensor.raw_rows(start, stop))
    values = tensor.rows(start, stop)
    padding = weight_format.padded(values.shape[1]) - values.shape[1]
    if padding:
        values = np.pad(values, ((0, 0), (0, padding)))
    try:
        return weight_format.encode(values)
    except OverflowError as error:
        raise GemletError(f"{tensor.file}: tensor {tensor.source_name}: {error}.") from None


def decode_matrix(data: bytes, scales: bytes, format_name: str, rows: int, columns: int, tile_rows: int = TILE_ROWS) -> np.ndarray:
    """The weights that an artifact's buffers stand for: float32 (rows, columns). `scales` is b"" without scales."""
    weight_format = format_named(format_name)
    units = unpack_tiles(np.frombuffer(data, np.uint8), rows, tile_rows)
    by_row = None
    if weight_format.scale:
        count, dtype = weight_format.scale.count(columns), weight_format.scale.dtype
        by_row = unpack_scales(np.frombuffer(scales, np.uint8), rows, count, dtype, tile_rows)
    return weight_format.decode(units, by_row)[:, :columns]
