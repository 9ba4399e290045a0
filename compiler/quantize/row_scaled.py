"""What m2, m4 and m8 share: whole numbers with a float32 scale a row, or a block of a row; value = scale * q.

These are the numbers of Gemma's "mobile" checkpoints (compiler/checkpoint/mobile.py), kept bit for bit.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from compiler.checkpoint.mobile import BITS, source_format, split_scales
from compiler.quantize.format import UNIT_BYTES, Encoded, Format, ScaleLayout

Pack = Callable[[np.ndarray], np.ndarray]


def row_scaled(bits: int, block: int | None, pack: Pack, unpack: Pack) -> Format:
    """The format of q in -2^(bits - 1) … 2^(bits - 1) - 1, a scale for `block` columns (None: a row).

    pack: int8 (rows, units, values) -> uint8 (rows, units, UNIT_BYTES); unpack: its inverse.
    """
    values_per_unit = 8 * UNIT_BYTES // bits

    def units_of(q: np.ndarray, scales: np.ndarray) -> Encoded:
        columns = weight_format.padded(q.shape[1])
        q = np.pad(q, ((0, 0), (0, columns - q.shape[1])))
        return pack(q.reshape(len(q), -1, values_per_unit)).reshape(len(q), -1), scales

    def encode(values: np.ndarray) -> Encoded:
        # The value of largest magnitude becomes -2^(bits - 1) exactly, whatever its sign: the grid has no +2^(bits - 1).
        groups = values.reshape(len(values), -1, block or values.shape[1])
        place = np.abs(groups).argmax(axis=2)[:, :, None]
        scales = (np.take_along_axis(groups, place, axis=2) / np.float32(-(1 << bits - 1))).astype(np.float32)
        q = np.clip(np.rint(groups / np.where(scales == 0, 1, scales)), -(1 << bits - 1), (1 << bits - 1) - 1)
        return units_of(q.astype(np.int8).reshape(values.shape), scales[:, :, 0])

    def decode(units: np.ndarray, scales: np.ndarray) -> np.ndarray:
        q = unpack(units.reshape(len(units), -1, UNIT_BYTES)).reshape(len(units), -1)
        by_column = np.repeat(scales, block or q.shape[1], axis=1)
        # Columns of padding are zeros, with a scale or without.
        return np.pad(by_column, ((0, 0), (0, max(0, q.shape[1] - by_column.shape[1]))))[:, : q.shape[1]] * q

    def encode_raw(source_bits: int, raw: np.ndarray) -> Encoded:
        scales, q = split_scales(raw, source_bits, block)
        return units_of(q, scales)

    narrower = [source for source in BITS if source <= bits]
    weight_format = Format(
        f"m{bits}" + ("" if block is None else f"_{block}"),
        values_per_unit=values_per_unit,
        scale=ScaleLayout("<f4", block),
        encode=encode,
        decode=decode,
        encode_raw={source_format(source, block): partial(encode_raw, source) for source in narrower},
    )
    return weight_format
