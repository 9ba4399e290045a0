"""Products in integers: int8 weights and activations, four products an instruction (dot4I8Packed).

The sums of 32 columns are exact int32, and leave as float32 with both scales.
"""
from tvm.script import tirx as T

from ..quantize.format import GROUP
from .dequantize import WeightLayout
from .kernel import PACKED
from .staged_form import GROUP_VECTORS, StagedForm

GROUP_WORDS = GROUP // 4
VECTORS = GROUP_WORDS // 4


@T.inline
def store(words, at, x):
    packed = T.alloc_buffer((GROUP_WORDS,), "uint32", scope="local")
    for j in T.unroll(GROUP_VECTORS):
        packed[j] = T.call_pure_extern("uint32", "pack4xI8", T.call_pure_extern("int32x4", "vec4<i32>", T.call_pure_extern("float32x4", "round", x[j])))
    for j in T.unroll(VECTORS):
        words[at + j] = packed[T.Ramp(j * 4, 1, 4)]


def signed(word, bits: int):
    """Fields of some bits, each in a byte of its own and plus half its range, as int8: no byte borrows from its neighbour."""
    half = 0x01010101 << bits - 1
    field = T.bitwise_and(word, T.uint32(0x01010101 * ((1 << bits) - 1)))
    return T.bitwise_xor(T.bitwise_or(field, T.uint32(0x80808080)) - T.uint32(half), T.uint32(0x80808080))


def weights(layout: WeightLayout):
    """The function (W, row, group) -> the weights 4 j ... 4 j + 3 of a group of 32, an int8 each, for every j."""
    kind, units = layout.format.partition("_")[0], layout.units_per_group

    def int8(W, row, group):
        loaded = [T.bind(W[layout.unit(row, group * units + j)]) for j in range(2)]
        return [_lane(unit, i) for unit in loaded for i in range(4)]

    def int4(W, row, group):
        unit = T.bind(W[layout.unit(row, group)])
        return fields(unit, lambda i: _lane(unit, i), 4)

    def int2(W, row, group):
        unit, shift = T.bind(W[layout.unit(row, group // 2)]), T.Cast("uint32", group % 2 * 4)
        return fields(unit, lambda i: T.shift_right(_lane(unit, i), shift), 2)

    def fields(unit, word, bits: int):
        """Of the lower bits of each byte of four words, then of those above."""
        return [_named(signed(T.shift_right(word(i), T.uint32(part * bits)) if part else word(i), bits)) for part in range(2) for i in range(4)]

    return {"q8": int8, "m8": int8, "q4": int4, "m4": int4, "m2": int2}[kind]


def multiply(weights, x):
    total = T.int32(0)
    for j in range(GROUP_WORDS):
        total = total + T.call_pure_extern("int32", "dot4I8Packed", weights[j], _lane(x[j // 4], j % 4))
    return T.Cast("float32", total)


def _lane(vector, i: int):
    return T.Shuffle([vector], [i])


def _named(word):
    return T.bind(T.call_extern("uint32", "u32", word))


# 8 KiB of workgroup memory for 32 tokens.
INTEGERS = StagedForm("packed", PACKED, ("q8", "q4", "m8", "m4", "m2"), 127.0, "uint32x4", VECTORS, 8, True, store, weights, multiply)
