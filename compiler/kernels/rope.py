"""Rotary position embedding from two small tables instead of sines of large angles.

WGSL promises sin and cos only to 2^-11, and only within one turn. So cos and sin of `position * frequency` are put
together from the position's two digits, position = 64 a + b, by the addition theorem; both tables are computed on
the host in float64 from the same float32 frequencies as the reference (model_defs/rope.py). Rows 0 ... 63 hold b, row 64 + a holds 64 a; a
row holds, for each four angles, a vector of cosines and one of sines.
"""
import numpy as np
from tvm.script import tirx as T

from model_defs.rope import Rope
from model_defs.sizes import stored_head

DIGIT = 64


def rope_table(frequencies: np.ndarray, context: int, scale: float = 1.0) -> np.ndarray:
    """float32[(64 + ceil(context / 64)), head_size / 8, 2, 4] as the module's docstring describes.

    frequencies: radians a position, float32[head_size / 2]. scale: factor of cosines and sines; the rows of b have it.
    """
    positions = np.concatenate([np.arange(DIGIT), DIGIT * np.arange(-(-context // DIGIT))]).astype(np.float64)
    angles = (positions[:, None] * frequencies.astype(np.float64)).reshape(len(positions), -1, 1, 4)
    table = np.concatenate([np.cos(angles), np.sin(angles)], axis=2)
    table[:DIGIT] *= scale
    return table.astype(np.float32)


def padded_frequencies(rope: Rope, head_size: int) -> np.ndarray:
    """Those of a head of that size, with zeros for the padding of its halves."""
    return np.pad(rope.frequencies(head_size), (0, (stored_head(head_size) - head_size) // 2))


def rotate(head_size: int):
    """Inline (table, low, high: float32x4, i, position, out: local float32x4[2]): the rotated vectors i of both halves of a head.

    low and high are the vectors i of the two halves (rotate_half pairs them): low cos - high sin, and high cos + low sin.
    """
    row = head_size // 4

    @T.inline
    def turn(table, low, high, i, position, out):
        fine: T.int32 = position % DIGIT * row + i * 2
        coarse: T.int32 = (position // DIGIT + DIGIT) * row + i * 2
        fine_cosine: T.float32x4 = table[fine]
        fine_sine: T.float32x4 = table[fine + 1]
        coarse_cosine: T.float32x4 = table[coarse]
        coarse_sine: T.float32x4 = table[coarse + 1]
        cosine: T.float32x4 = fine_cosine * coarse_cosine - fine_sine * coarse_sine
        sine: T.float32x4 = fine_sine * coarse_cosine + fine_cosine * coarse_sine
        out[0] = low * cosine - high * sine
        out[1] = high * cosine + low * sine

    return turn
