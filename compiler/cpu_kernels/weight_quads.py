"""Weights as CPU kernels read them: a vector holds a word of each of four neighbouring rows, so that sums of four rows grow side by side.

A matrix comes in tiles of 32 rows and units of 16 bytes (docs/artifact.md, "Weights"): 64 bytes hold a unit of four rows. `prepare`
transposes them once, in place, as a 4 x 4 matrix of words, after which vector w holds word w of each row. Scales stay as they are.

Bytes that are multiplied as 16-bit numbers are *paired*: vector w holds the first two bytes of word w of each row, and then the other two. So each half of
it can be loaded as eight 16-bit numbers, of which two neighbours are of one row: no shift widens them.
"""
import numpy as np
from tvm.script import tirx as T

from ..kernels.dequantize import WeightLayout
from ..kernels.kernel import TILE, Parameter, exact
from .cpu_kernel import SIMD128, CpuKernel

QUAD = 4
BLOCKS = 64  # blocks of 64 bytes that are a work item


class QuadLayout(WeightLayout):
    """Addresses of a matrix after `prepare`. row: a multiple of four, the first of a quad. simd: of products in whole numbers, as in `linear_kernel`."""

    def __init__(self, rows: int, columns: int, format: str, simd: str | None, tile: int = TILE):
        super().__init__(rows, columns, format, tile)
        self.paired = is_paired(format, simd)

    def vector(self, row, unit, word):
        """Index of the 16 bytes that hold word `word` of unit `unit` of four rows."""
        return self.unit(row, unit) + word

    @property
    def bits(self) -> int | None:
        """Of a value that is a whole number; None for floats."""
        return bits_of(self.format)

    @property
    def zero(self) -> int:
        """What is stored for 0: bytes are signed, narrower values are not."""
        return 0 if self.bits == 8 else 1 << self.bits - 1

    @property
    def values_per_word(self) -> int:
        return self.values_per_unit // 4

    def column(self, unit, word, value):
        """The column that value number `value` of a word stands for; constants give a constant."""
        if self.bits is None:
            return unit * self.values_per_unit + word * self.values_per_word + value
        return unit * self.values_per_unit + value // 4 * 16 + word * 4 + value % 4


def bits_of(format: str) -> int | None:
    """Of a value that is a whole number; None for floats."""
    return {"q8": 8, "m8": 8, "q4": 4, "m4": 4, "m2": 2}.get(format.partition("_")[0])


def is_paired(format: str, simd: str | None) -> bool:
    """Whether the bytes of a matrix are paired; simd as in `linear_kernel`."""
    return simd == SIMD128 and bits_of(format) == 8


def spread(value, lanes: int):
    """A scalar as a value of so many lanes."""
    return value if lanes == 1 else T.Broadcast(value, lanes)


def from_half(high, lanes: int):
    """The float32 of a float16 in the high 16 bits of an int32; what is below does not matter.

    The exponent of a float16, as one of a float32, is 2^112 too small; the sign moves along.
    """
    moved = T.bitwise_and(T.shift_right(high, spread(T.int32(3), lanes)), spread(T.int32(-0x70002000), lanes))
    return T.reinterpret("float32x4" if lanes == 4 else "float32", moved) * spread(exact(2.0**112), lanes)


def widened(layout: QuadLayout, word, value: int, lanes: int):
    """Value number `value` of an int32 of weights as float32, before scaling."""
    floats = "float32x4" if lanes == 4 else "float32"

    def number(whole):
        return spread(T.int32(whole), lanes)

    if layout.format == "f32":
        return T.reinterpret(floats, word)
    high = T.shift_left(word, number(16 - 16 * value))
    if layout.format == "bf16":
        return T.reinterpret(floats, T.bitwise_and(high, number(-65536)))
    if layout.format == "f16":
        return from_half(high, lanes)
    place = value % 4 * 8 + value // 4 * layout.bits
    if layout.bits == 8:
        return T.Cast(floats, T.shift_right(T.shift_left(word, number(24 - place)), number(24)))
    return T.Cast(floats, T.bitwise_and(T.shift_right(word, number(place)), number((1 << layout.bits) - 1)) - number(layout.zero))


def load_scales(layout: QuadLayout):
    """Inline (S: uint32 buffer, row, group, scales: local float32x4, i): scales[i] holds the scales of four rows."""
    half = layout.has_scale and np.dtype(layout.weight_format.scale.dtype).itemsize == 2

    @T.inline
    def load(S, row, group, scales, i):
        if half:
            # Two groups share a word.
            words: T.int32x4 = T.reinterpret("int32x4", S[T.Ramp(layout.scale_word(row, group), 1, 4)])
            high: T.int32x4 = T.shift_left(words, T.Broadcast(16 - group % 2 * 16, 4))
            scales[i] = from_half(high, 4)
        else:
            scales[i] = T.reinterpret("float32x4", S[T.Ramp(layout.scale_word(row, group), 1, 4)])

    return load


def prepare_kernel(units: int, paired: bool) -> CpuKernel:
    """Transposes the words of each four units of W, int32x4[units], in place. paired: puts pairs of bytes together, as above."""
    blocks = units // QUAD
    name = f"prepare{'_pairs' if paired else ''}_u{units}"

    def gathered(words, vector, lane):
        """A word of the result: of words[4 * row + word]."""
        if not paired:
            return words[4 * lane + vector]
        row = lane % 2 * 2
        one, other = words[4 * row + vector], words[4 * (row + 1) + vector]
        first = T.bitwise_or(T.bitwise_and(one, T.int32(0xFFFF)), T.shift_left(other, T.int32(16)))
        second = T.bitwise_or(T.bitwise_and(T.shift_right(one, T.int32(16)), T.int32(0xFFFF)), T.bitwise_and(other, T.int32(-0x10000)))
        return T.Select(lane < 2, first, second)

    @T.jit
    def func(w: T.handle("int32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        W = T.decl_buffer((units * 4,), "int32", data=w)
        words = T.alloc_buffer((16,), "int32", scope="local")
        for block in T.serial(T.min(last * BLOCKS, blocks) - first * BLOCKS):
            start: T.int32 = (first * BLOCKS + block) * 16
            for i in T.unroll(16):
                words[i] = W[start + i]
            for i in T.unroll(16):
                W[start + i] = gathered(words, i // 4, i % 4)

    return CpuKernel(name, func, -(-blocks // BLOCKS), (Parameter("W", written=True),))
