"""The inner product of the integer matrix kernels: int8 weights and activations, four products an instruction (dot4I8Packed).

A workgroup rounds its tokens' activations to int8, a stage of columns at a time, into workgroup memory; its threads then
multiply them with whole words of weights. The sums of 32 columns are exact int32, and leave as float32 with both scales.
"""
from tvm.script import tirx as T

from ..quantize.format import GROUP
from .dequantize import WeightLayout, load_scale
from .kernel import ceil_div, exact
from .rounding import Rounding, whole_steps

LARGEST = 127
# Activations below are taken for zeros: 127 divided by them need not be a float32.
SMALLEST = 1e-30
# Groups of columns that lie in workgroup memory at a time: 8 KiB of 32 tokens.
STAGE_GROUPS = 8
GROUP_WORDS = GROUP // 4
# Formats whose weights are whole numbers within int8.
PACKED_FORMATS = ("q8", "q4", "m8", "m4", "m2")


def packs(format: str, rounding: Rounding | None = None) -> bool:
    """Whether a product of this format has an integer form. Rows that see x rounded in different ways cannot share it."""
    return format.partition("_")[0] in PACKED_FORMATS and (rounding is None or rounding.one_input)


def stages(layout: WeightLayout) -> int:
    return ceil_div(layout.groups * (layout.group // GROUP), STAGE_GROUPS)


def quantize_stage(layout: WeightLayout, tile_tokens: int, threads: int, rounding: Rounding | None):
    """Inline (A, X, words: workgroup uint32x4, sizes: workgroup float32, stage, thread, start_of).

    Leaves a stage of the tile's activations as int8, [tokens][groups][2] vectors, and the size of a step for each token and
    group of 32: the largest magnitude / 127; with rounding, its own whole steps as they are, and 1.
    start_of: Python function (token of the tile) -> the vector in X where its values start.
    """
    last = layout.columns // 4 - 1
    whole = layout.columns % (STAGE_GROUPS * GROUP) == 0

    @T.inline
    def quantize(A, X, words, sizes, stage, thread, start_of):
        x = T.alloc_buffer((GROUP_WORDS,), "float32x4", scope="local")
        packed = T.alloc_buffer((GROUP_WORDS,), "uint32", scope="local")
        top = T.alloc_buffer((1,), "float32x4", scope="local")
        size = T.alloc_buffer((2,), "float32", scope="local")
        for i in T.serial(ceil_div(tile_tokens * STAGE_GROUPS, threads)):
            item: T.int32 = i * threads + thread
            if item < tile_tokens * STAGE_GROUPS:
                start: T.int32 = start_of(item // STAGE_GROUPS)
                k4: T.int32 = (stage * STAGE_GROUPS + item % STAGE_GROUPS) * GROUP_WORDS
                for j in T.unroll(GROUP_WORDS):
                    if whole:
                        x[j] = X[start + k4 + j]
                    else:
                        x[j] = T.Select(k4 + j <= last, X[start + T.min(k4 + j, last)], T.Broadcast(T.float32(0), 4))
                top[0] = T.Broadcast(T.float32(0), 4)
                for j in T.unroll(GROUP_WORDS):
                    if rounding is not None:
                        x[j] = whole_steps(x[j], rounding.input_step(A, 0))
                    top[0] = T.call_pure_extern("float32x4", "max", top[0], T.call_pure_extern("float32x4", "abs", x[j]))
                size[0] = T.call_pure_extern("float32", "max", T.call_pure_extern("float32", "max", _lane(top[0], 0), _lane(top[0], 1)),
                                             T.call_pure_extern("float32", "max", _lane(top[0], 2), _lane(top[0], 3)))
                size[1] = T.Select(size[0] > exact(SMALLEST), T.float32(LARGEST) / size[0], T.float32(0))
                size[0] = size[0] * exact(1 / LARGEST)
                if rounding is not None:
                    for j in T.unroll(2):
                        size[j] = T.Select(rounding.input_step(A, 0) != T.float32(0), T.float32(1), size[j])
                for j in T.unroll(GROUP_WORDS):
                    packed[j] = T.call_pure_extern("uint32", "pack4xI8", T.call_pure_extern("int32x4", "vec4<i32>", T.call_pure_extern(
                        "float32x4", "round", x[j] * T.Broadcast(size[1], 4))))
                for j in T.unroll(GROUP_WORDS // 4):
                    words[item * (GROUP_WORDS // 4) + j] = packed[T.Ramp(j * 4, 1, 4)]
                sizes[item] = size[0]

    return quantize


def _lane(vector, i: int):
    return T.Shuffle([vector], [i])


def multiply_stage(layout: WeightLayout, slots: int, tokens: int):
    """Inline (W, S, words, sizes, acc, row_of_slot, token, stage): acc[slot * tokens + t] += W[row of slot] . x of token + t, over a
    stage of columns. words, sizes: as `quantize_stage` leaves them. token: a thread's first, of the tile. row_of_slot: as in
    `multiply_step`."""
    load_words, scale_of = packed_words(layout), load_scale(layout)
    groups = layout.groups * (layout.group // GROUP)

    @T.inline
    def multiply(W, S, words, sizes, acc, row_of_slot, token, stage):
        w = T.alloc_buffer((slots * GROUP_WORDS,), "uint32", scope="local")
        x = T.alloc_buffer((GROUP_WORDS,), "uint32", scope="local")
        scales = T.alloc_buffer((slots,), "float32", scope="local")
        pair = T.alloc_buffer((2,), "float32", scope="local")
        total = T.alloc_buffer((1,), "int32", scope="local")
        for g in T.serial(T.min(STAGE_GROUPS, groups - stage * STAGE_GROUPS)):
            group: T.int32 = stage * STAGE_GROUPS + g
            for r in T.unroll(slots):
                weight_group = T.meta_var(group * GROUP // layout.group)
                scale_of(S, row_of_slot(r), weight_group, pair)
                scales[r] = T.Select(weight_group % 2 == 0, pair[0], pair[1])
                load_words(W, w, r * GROUP_WORDS, row_of_slot(r), group)
            for t in T.unroll(tokens):
                at: T.int32 = (token + t) * STAGE_GROUPS + g
                for j in T.unroll(GROUP_WORDS // 4):
                    x[T.Ramp(j * 4, 1, 4)] = words[at * (GROUP_WORDS // 4) + j]
                for r in T.unroll(slots):
                    total[0] = 0
                    for j in T.unroll(GROUP_WORDS):
                        total[0] = total[0] + T.call_pure_extern("int32", "dot4I8Packed", w[r * GROUP_WORDS + j], x[j])
                    acc[r * tokens + t] = acc[r * tokens + t] + T.Cast("float32", total[0]) * (scales[r] * sizes[at])

    return multiply


def packed_words(layout: WeightLayout):
    """Inline (W, w: local uint32, base, row, group): w[base + j] = the weights 4 j ... 4 j + 3 of a group of 32, an int8 each."""
    kind, units = layout.format.partition("_")[0], layout.units_per_group

    def signed(word, bits: int):
        """Fields of some bits, each in a byte of its own and plus half its range, as int8: no byte borrows from its neighbour."""
        half = 0x01010101 << bits - 1
        field = T.bitwise_and(word, T.uint32(0x01010101 * ((1 << bits) - 1)))
        return T.bitwise_xor(T.bitwise_or(field, T.uint32(0x80808080)) - T.uint32(half), T.uint32(0x80808080))

    @T.inline
    def load_int8(W, w, base, row, group):
        loaded = T.alloc_buffer((4,), "uint32", scope="local")
        for j in T.unroll(2):
            loaded[T.Ramp(0, 1, 4)] = W[layout.unit(row, group * units + j)]
            for i in T.unroll(4):
                w[base + j * 4 + i] = loaded[i]

    @T.inline
    def load_int4(W, w, base, row, group):
        loaded = T.alloc_buffer((4,), "uint32", scope="local")
        loaded[T.Ramp(0, 1, 4)] = W[layout.unit(row, group)]
        for i in T.unroll(4):
            w[base + i] = signed(loaded[i], 4)
            w[base + 4 + i] = signed(T.shift_right(loaded[i], T.uint32(4)), 4)

    @T.inline
    def load_int2(W, w, base, row, group):
        loaded = T.alloc_buffer((4,), "uint32", scope="local")
        loaded[T.Ramp(0, 1, 4)] = W[layout.unit(row, group // 2)]
        for i in T.unroll(4):
            word: T.uint32 = T.shift_right(loaded[i], T.Cast("uint32", group % 2 * 4))
            w[base + i] = signed(word, 2)
            w[base + 4 + i] = signed(T.shift_right(word, T.uint32(2)), 2)

    return {"q8": load_int8, "m8": load_int8, "q4": load_int4, "m4": load_int4, "m2": load_int2}[kind]
