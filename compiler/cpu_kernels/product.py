"""Sums of products of a few tokens with a few quads of rows, over one group of columns: what the kernels of a matrix product are built from.

acc[t * quads + i] is a float32x4: the sums of four neighbouring rows for token t. Two forms, of the same arguments:
  integer  activations as bytes (compiler/cpu_kernels/quantize.py); the sums of a group are whole numbers, exact, so that all instruction sets agree
  float    weights are widened to float32, and nothing is rounded but sums
"""
from tvm.script import tirx as T

from ..kernels.kernel import exact
from .quantize import HALVES, MAGNITUDES, WORDS
from .weight_quads import QuadLayout, load_scales

RELAXED_DOT = "llvm.wasm.relaxed.dot.i8x16.i7x16.add.signed"
DOT = "llvm.wasm.dot"
MASKS = {4: 0x0F0F0F0F, 2: 0x03030303}


def splat(value, dtype: str):
    """A word as a vector of bytes or halves, four times over."""
    return T.reinterpret(dtype, T.Broadcast(value, 4))


def integer_product(layout: QuadLayout, quads: int, tokens: int, form: str):
    """Inline (W, S, Q, QSCALES, QSUMS, acc, rows, starts, group): adds one group's sums to acc.

    W: int32 buffer. rows: local int32[quads], the first row of each quad. starts: local int32[tokens], the place of each token's
    activations, in groups.
    """
    words, parts = WORDS[form], 8 // layout.bits
    load = load_scales(layout)
    vectors = layout.vectors  # words of activations a group

    def weight_bytes(word, part):
        if parts == 1:
            return word
        return T.bitwise_and(T.shift_right(word, T.Broadcast(layout.bits * part, 4)), T.Broadcast(T.int32(MASKS[layout.bits]), 4))

    def start_sum(QSUMS, at):
        return QSUMS[at] if layout.zero else T.int32(0)

    @T.inline
    def multiply(Q, total, weight, at, t, i):
        # total += the four rows' products with four columns, whose activations are word number `at`.
        if form == HALVES:
            halves: T.int16x8 = T.reinterpret("int16x8", weight)
            even: T.int16x8 = T.shift_right(T.shift_left(halves, T.Broadcast(T.int16(8), 8)), T.Broadcast(T.int16(8), 8))
            odd: T.int16x8 = T.shift_right(halves, T.Broadcast(T.int16(8), 8))
            total[t * quads + i] = (total[t * quads + i] + T.call_llvm_pure_intrin("int32x4", DOT, even, splat(Q[at], "int16x8"))
                                    + T.call_llvm_pure_intrin("int32x4", DOT, odd, splat(Q[at + 1], "int16x8")))
        else:
            if form == MAGNITUDES:
                signs: T.int8x16 = splat(Q[at + 1], "int8x16")
                signed: T.int8x16 = T.bitwise_xor(T.reinterpret("int8x16", weight), signs) - signs
                total[t * quads + i] = T.call_llvm_pure_intrin("int32x4", RELAXED_DOT, signed, splat(Q[at], "int8x16"), total[t * quads + i])
            else:
                total[t * quads + i] = T.call_llvm_pure_intrin("int32x4", RELAXED_DOT, splat(Q[at], "int8x16"), T.reinterpret("int8x16", weight),
                                                              total[t * quads + i])

    @T.inline
    def add_group(W, S, Q, QSCALES, QSUMS, acc, rows, starts, group):
        total = T.alloc_buffer((tokens * quads,), "int32x4", scope="local")
        scales = T.alloc_buffer((quads,), "float32x4", scope="local")
        for t in T.unroll(tokens):
            for i in T.unroll(quads):
                total[t * quads + i] = T.Broadcast(start_sum(QSUMS, starts[t] + group), 4)
        for unit in T.unroll(layout.units_per_group):
            for word in T.unroll(4):
                for i in T.unroll(quads):
                    loaded: T.int32x4 = W[T.Ramp(layout.vector(rows[i], group * layout.units_per_group + unit, word) * 4, 1, 4)]
                    for part in T.unroll(parts):
                        weight: T.int32x4 = weight_bytes(loaded, part)
                        for t in T.unroll(tokens):
                            multiply(Q, total, weight, ((starts[t] + group) * vectors + unit * (4 * parts) + part * 4 + word) * words, t, i)
        for i in T.unroll(quads):
            load(S, rows[i], group, scales, i)
        for t in T.unroll(tokens):
            for i in T.unroll(quads):
                acc[t * quads + i] = acc[t * quads + i] + T.Cast("float32x4", total[t * quads + i]) * (scales[i] * T.Broadcast(QSCALES[starts[t] + group], 4))

    return add_group


def float_product(layout: QuadLayout, quads: int, tokens: int):
    """Inline (W, S, X, acc, rows, starts, group): as above; X float32, starts: the place of each token's first value."""
    load = load_scales(layout)

    def widened(word, value):
        """Value number `value` of the word of four rows, as float32x4, before scaling."""
        if layout.format == "f32":
            return T.reinterpret("float32x4", word)
        high = T.shift_left(word, T.Broadcast(16 - 16 * value, 4))
        if layout.format == "bf16":
            return T.reinterpret("float32x4", T.bitwise_and(high, T.Broadcast(T.int32(-65536), 4)))
        if layout.format == "f16":
            bits = T.bitwise_and(T.shift_right(high, T.Broadcast(3, 4)), T.Broadcast(T.int32(-0x70002000), 4))
            return T.reinterpret("float32x4", bits) * T.Broadcast(exact(2.0**112), 4)
        place = (value % 4) * 8 + value // 4 * layout.bits
        if layout.bits == 8:
            return T.Cast("float32x4", T.shift_right(T.shift_left(word, T.Broadcast(24 - place, 4)), T.Broadcast(24, 4)))
        bits = T.bitwise_and(T.shift_right(word, T.Broadcast(place, 4)), T.Broadcast((1 << layout.bits) - 1, 4))
        return T.Cast("float32x4", bits - T.Broadcast(layout.zero, 4))

    @T.inline
    def multiply(X, sums, weight, starts, column, t, i):
        if layout.ragged:
            if column < layout.columns:
                sums[t * quads + i] = sums[t * quads + i] + weight * T.Broadcast(X[starts[t] + column], 4)
        else:
            sums[t * quads + i] = sums[t * quads + i] + weight * T.Broadcast(X[starts[t] + column], 4)

    @T.inline
    def add_group(W, S, X, acc, rows, starts, group):
        sums = T.alloc_buffer((tokens * quads,), "float32x4", scope="local")
        scales = T.alloc_buffer((quads,), "float32x4", scope="local")
        for i in T.unroll(tokens * quads):
            sums[i] = T.Broadcast(T.float32(0), 4)
        for step in T.serial(layout.units_per_group * 4):
            unit: T.int32 = group * layout.units_per_group + T.truncdiv(step, 4)
            word: T.int32 = T.truncmod(step, 4)
            for i in T.unroll(quads):
                loaded: T.int32x4 = W[T.Ramp(layout.vector(rows[i], unit, word) * 4, 1, 4)]
                for value in T.unroll(layout.values_per_word):
                    weight: T.float32x4 = widened(loaded, value)
                    for t in T.unroll(tokens):
                        multiply(X, sums, weight, starts, layout.column(unit, word, value), t, i)
        if layout.has_scale:
            for i in T.unroll(quads):
                load(S, rows[i], group, scales, i)
            for t in T.unroll(tokens):
                for i in T.unroll(quads):
                    acc[t * quads + i] = acc[t * quads + i] + sums[t * quads + i] * scales[i]
        else:
            for i in T.unroll(tokens * quads):
                acc[i] = acc[i] + sums[i]

    return add_group
