"""Weights in the layouts of docs/artifact.md: addresses, and the expansion of a 16-byte unit to float32.

These are TVMScript inlines: they write code into the kernel that calls them.
"""
import numpy as np
from tvm.script import tirx as T

from ..quantize import format_named
from ..quantize.format import GROUP
from .kernel import TILE, ceil_div, exact


class WeightLayout:
    """Sizes of a matrix of N rows and K columns in `format`, in tiles of `tile` rows, in the terms that kernels address it by."""

    def __init__(self, rows: int, columns: int, format: str, tile: int = TILE):
        self.rows, self.columns, self.format, self.tile = rows, columns, format, tile
        self.weight_format = format_named(format)
        self.has_scale = self.weight_format.has_scale
        self.values_per_unit = self.weight_format.values_per_unit
        # A group is what kernels take at a time: columns that share a scale, and whole units.
        self.group = max(GROUP, self.values_per_unit)
        self.groups = ceil_div(columns, self.group)
        self.vectors = self.group // 4
        self.units_per_group = self.group // self.values_per_unit
        self.units = self.groups * self.units_per_group
        self.scale_words = self.weight_format.scale.words(columns) if self.has_scale else 0
        self.tiles = ceil_div(rows, tile)
        self.data_units = self.tiles * self.units * tile
        self.scale_total = self.tiles * self.scale_words * tile
        # Columns beyond K are zeros in the weights, but nothing stands behind the activations there.
        self.ragged = columns % self.group != 0

    def unit(self, row, unit):
        """Index of a unit, in 16-byte steps."""
        return (row // self.tile * self.units + unit) * self.tile + row % self.tile

    def scale_word(self, row, group):
        """Index of the 32-bit word that holds the scale of `group`: of a row, of a block of columns, or a half of one."""
        scale = self.weight_format.scale
        word = 0 if scale.columns is None else group * self.group // (scale.columns * 4 // np.dtype(scale.dtype).itemsize)
        return (row // self.tile * self.scale_words + word) * self.tile + row % self.tile


def _in_place(word, i: int, mask: int):
    """Bits of byte i, left where they are: a number of few digits, so that the float32 below is exact. Shifts cost more, on some devices much more."""
    return T.Cast("float32", T.reinterpret("int32", T.bitwise_and(word, T.uint32(mask << 8 * i)))) * exact(2.0 ** (-8 * i))


def expand_vector(format: str):
    """Inline (words: local uint32, base, v, values: local float32[4]): values 4 v ... 4 v + 3 of the unit whose four words
    start at words[base], before scaling. v is a constant."""

    @T.inline
    def expand_f32(words, base, v, values):
        for i in T.unroll(4):
            values[i] = T.reinterpret("float32", words[base + i])

    @T.inline
    def expand_f16(words, base, v, values):
        for i in T.unroll(2):
            values[T.Ramp(i * 2, 1, 2)] = T.call_pure_extern("float32x2", "unpack2x16float", words[base + v * 2 + i])

    @T.inline
    def expand_bf16(words, base, v, values):
        for i in T.unroll(2):
            values[i * 2] = T.reinterpret("float32", T.shift_left(words[base + v * 2 + i], T.uint32(16)))
            values[i * 2 + 1] = T.reinterpret("float32", T.bitwise_and(words[base + v * 2 + i], T.uint32(0xFFFF0000)))

    @T.inline
    def expand_q8(words, base, v, values):
        # With its sign bit turned over, a byte is the value plus 128; the highest byte is a signed number where it is.
        word = T.meta_var(T.bitwise_xor(words[base + v], T.uint32(0x808080)))
        values[0] = _in_place(word, 0, 255) - T.float32(128)
        values[1] = _in_place(word, 1, 255) - T.float32(128)
        values[2] = _in_place(word, 2, 255) - T.float32(128)
        values[3] = _in_place(word, 3, 255)

    @T.inline
    def expand_q4(words, base, v, values):
        word = T.meta_var(T.shift_right(words[base + v % 4], T.Cast("uint32", v // 4 * 4)))
        values[0] = _in_place(word, 0, 15) - T.float32(8)
        values[1] = _in_place(word, 1, 15) - T.float32(8)
        values[2] = _in_place(word, 2, 15) - T.float32(8)
        values[3] = _in_place(word, 3, 15) - T.float32(8)

    @T.inline
    def expand_m2(words, base, v, values):
        word = T.meta_var(T.shift_right(words[base + v % 4], T.Cast("uint32", v // 4 * 2)))
        values[0] = _in_place(word, 0, 3) - T.float32(2)
        values[1] = _in_place(word, 1, 3) - T.float32(2)
        values[2] = _in_place(word, 2, 3) - T.float32(2)
        values[3] = _in_place(word, 3, 3) - T.float32(2)

    # q8 and m8, q4 and m4 differ in their scales only.
    return {"f32": expand_f32, "f16": expand_f16, "bf16": expand_bf16, "q8": expand_q8, "q4": expand_q4, "m8": expand_q8,
            "m4": expand_q4, "m2": expand_m2}[format.partition("_")[0]]


def unit_values(format: str):
    """The function (unit: uint32x4, v) -> float32x4: what `expand_vector` leaves in `values`, as one expression."""
    kind = format.partition("_")[0]

    def word(unit, i: int):
        return T.Shuffle([unit], [i])

    def vector(values):
        return T.call_pure_extern("float32x4", "vec4<f32>", *values)

    def bytes_of(word, mask: int, less: int):
        return vector([_in_place(word, i, mask) - T.float32(less) for i in range(4)])

    def whole(unit, v: int):
        return T.call_pure_extern("float32x4", "bitcast<vec4<f32>>", unit)

    def halves(unit, v: int):
        return vector([T.call_pure_extern("float32x2", "unpack2x16float", word(unit, v * 2 + i)) for i in range(2)])

    def upper_halves(unit, v: int):
        words = [word(unit, v * 2 + i // 2) for i in range(4)]
        return vector([T.reinterpret("float32", T.bitwise_and(each, T.uint32(0xFFFF0000)) if i % 2 else T.shift_left(each, T.uint32(16)))
                       for i, each in enumerate(words)])

    def eighths(unit, v: int):
        flipped = T.bind(T.bitwise_xor(word(unit, v), T.uint32(0x808080)))
        values = [_in_place(flipped, i, 255) for i in range(4)]
        return vector([*(value - T.float32(128) for value in values[:3]), values[3]])

    def fourths(unit, v: int):
        return bytes_of(T.bind(T.shift_right(word(unit, v % 4), T.uint32(v // 4 * 4))), 15, 8)

    def pairs(unit, v: int):
        return bytes_of(T.bind(T.shift_right(word(unit, v % 4), T.uint32(v // 4 * 2))), 3, 2)

    return {"f32": whole, "f16": halves, "bf16": upper_halves, "q8": eighths, "q4": fourths, "m8": eighths, "m4": fourths, "m2": pairs}[kind]


def load_scale(layout: WeightLayout):
    """Inline (S: uint32 buffer, row, group, scale: local float32[2]): scale[group % 2] is the group's scale."""

    @T.inline
    def load_word(S, row, group, scale):
        scale[T.Ramp(0, 1, 2)] = T.Broadcast(T.reinterpret("float32", S[layout.scale_word(row, group)]), 2)

    @T.inline
    def load_half(S, row, group, scale):
        scale[T.Ramp(0, 1, 2)] = T.call_pure_extern("float32x2", "unpack2x16float", S[layout.scale_word(row, group)])

    return load_word if layout.has_scale and layout.weight_format.scale.dtype == "<f4" else load_half
