"""Sums of products in whole numbers over one group of columns: exact, so that all instruction sets agree. Activations: see quantize.py."""
from tvm.script import tirx as T

from .quantize import HALVES, PAIRS, SEVENS, WORDS
from .weight_quads import QuadLayout, load_scales

RELAXED_DOT = "llvm.wasm.relaxed.dot.i8x16.i7x16.add.signed"
DOT = "llvm.wasm.dot"
MASKS = {4: 0x0F0F0F0F, 2: 0x03030303}
FOUR = 4
SIXTY_FOURS = 0x40404040


def splat(value, dtype: str):
    """A word as a vector of bytes or halves, four times over."""
    return T.reinterpret(dtype, T.Broadcast(value, 4))


def integer_product(layout: QuadLayout, quads: int, tokens: int, form: str):
    """Inline (W, S, X, QSCALES, QSUMS, acc, rows, starts, group, zero): adds one group's sums to acc.

    acc: local float32x4[tokens * quads], the sums of four neighbouring rows for token t in acc[t * quads + i]. W, X: int32 buffers. rows: local
    int32[quads], the first row of each quad. starts: local int32[tokens], the place of each token's activations, in groups. zero: 0, in a way
    that LLVM does not know.
    """
    parts = 8 // layout.bits
    load = load_scales(layout)
    vectors = layout.vectors  # of four columns, a group

    def words(zero):
        # LLVM must not unroll the loop: it would put the products of a sum one behind the other, which takes more registers than there are
        # (30 for 42 GMAC/s). Only a single token's products with bytes are few enough.
        return T.unroll(4) if tokens == 1 and parts == 1 else T.serial(4 + zero)

    def load_words(W, row, group, unit, word):
        return W[T.Ramp(layout.vector(row, group * layout.units_per_group + unit, word) * 4, 1, 4)]

    def weight_bytes(word, part):
        if parts == 1:
            return word
        return T.bitwise_and(T.shift_right(word, T.Broadcast(layout.bits * part, 4)), T.Broadcast(T.int32(MASKS[layout.bits]), 4))

    def start_sum(QSUMS, at):
        return T.Broadcast(QSUMS[at] if layout.zero else T.int32(0), 4)

    def relaxed_dot(weight, x, total):
        """total + four rows' products with four columns. Its second operand is the one of 7 bits."""
        operands = (T.reinterpret("int8x16", weight), splat(x, "int8x16"))
        return T.call_llvm_pure_intrin("int32x4", RELAXED_DOT, *(operands if layout.zero == 0 else operands[::-1]), total)

    @T.inline
    def each_vector(W, rows, group, zero, multiply):
        # multiply(weight, vector) for each vector of four columns of the group; weight[i]: of quad i.
        loaded = T.alloc_buffer((quads,), "int32x4", scope="local")
        weight = T.alloc_buffer((quads,), "int32x4", scope="local")
        for unit in T.unroll(layout.units_per_group):
            for word in words(zero):
                for i in T.unroll(quads):
                    loaded[i] = load_words(W, rows[i], group, unit, word)
                for part in T.unroll(parts):
                    for i in T.unroll(quads):
                        weight[i] = weight_bytes(loaded[i], part)
                    multiply(weight, unit * (4 * parts) + part * 4 + word)

    @T.inline
    def multiply_halves(X, total, starts, group, first, second, vector):
        # Two columns of four rows each: first[i] and second[i] of quad i.
        for t in T.unroll(tokens):
            at: T.int32 = ((starts[t] + group) * vectors + vector) * WORDS
            for i in T.unroll(quads):
                total[t * quads + i] = (total[t * quads + i] + T.call_llvm_pure_intrin("int32x4", DOT, first[i], splat(X[at], "int16x8"))
                                        + T.call_llvm_pure_intrin("int32x4", DOT, second[i], splat(X[at + 1], "int16x8")))

    @T.inline
    def add_halves(W, X, QSUMS, total, rows, starts, group, zero):
        even = T.alloc_buffer((quads,), "int16x8", scope="local")
        odd = T.alloc_buffer((quads,), "int16x8", scope="local")
        for t in T.unroll(tokens):
            for i in T.unroll(quads):
                total[t * quads + i] = start_sum(QSUMS, starts[t] + group)

        @T.inline
        def multiply(weight, vector):
            for i in T.unroll(quads):
                halves: T.int16x8 = T.reinterpret("int16x8", weight[i])
                even[i] = T.shift_right(T.shift_left(halves, T.Broadcast(T.int16(8), 8)), T.Broadcast(T.int16(8), 8))
                odd[i] = T.shift_right(halves, T.Broadcast(T.int16(8), 8))
            multiply_halves(X, total, starts, group, even, odd, vector)

        each_vector(W, rows, group, zero, multiply)

    @T.inline
    def add_pairs(W, X, QSUMS, total, rows, starts, group, zero):
        # Half a vector is loaded and widened by one instruction, where a whole one takes four.
        first = T.alloc_buffer((quads,), "int16x8", scope="local")
        second = T.alloc_buffer((quads,), "int16x8", scope="local")
        for i in T.unroll(tokens * quads):
            total[i] = T.Broadcast(T.int32(0), 4)
        for unit in T.unroll(layout.units_per_group):
            for word in words(zero):
                for i in T.unroll(quads):
                    at: T.int32 = layout.vector(rows[i], group * layout.units_per_group + unit, word) * 4
                    first[i] = T.Cast("int16x8", T.reinterpret("int8x8", W[T.Ramp(at, 1, 2)]))
                    second[i] = T.Cast("int16x8", T.reinterpret("int8x8", W[T.Ramp(at + 2, 1, 2)]))
                multiply_halves(X, total, starts, group, first, second, unit * 4 + word)

    @T.inline
    def add_sevens(W, X, QSUMS, total, rows, starts, group, zero):
        biases = T.alloc_buffer((quads,), "int32x4", scope="local")
        for i in T.unroll(quads):
            biases[i] = T.Broadcast(T.int32(0), 4)
        for i in T.unroll(tokens * quads):
            total[i] = T.Broadcast(T.int32(0), 4)

        @T.inline
        def multiply_high(weight, vector):
            if layout.zero == 0:
                for i in T.unroll(quads):
                    biases[i] = relaxed_dot(weight[i], T.int32(SIXTY_FOURS), biases[i])
            for t in T.unroll(tokens):
                for i in T.unroll(quads):
                    total[t * quads + i] = relaxed_dot(weight[i], X[((starts[t] + group) * vectors + vector) * WORDS], total[t * quads + i])

        @T.inline
        def multiply_low(weight, vector):
            for t in T.unroll(tokens):
                for i in T.unroll(quads):
                    total[t * quads + i] = relaxed_dot(weight[i], X[((starts[t] + group) * vectors + vector) * WORDS + 1], total[t * quads + i])

        # High parts first, then low ones, with the weights read again: sums of both at once would need more registers than there are.
        each_vector(W, rows, group, zero, multiply_high)
        for t in T.unroll(tokens):
            for i in T.unroll(quads):
                high: T.int32x4 = T.shift_left(total[t * quads + i] - biases[i], T.Broadcast(T.int32(7), 4))
                total[t * quads + i] = high + start_sum(QSUMS, starts[t] + group)
        each_vector(W, rows, group, zero, multiply_low)

    @T.inline
    def add_sevens_of_one(W, X, QSUMS, total, rows, starts, group, zero):
        # Both parts of four quads at once: the weights are read but once, and 12 sums have registers. Unit after unit, as they lie in memory: with the
        # units of four quads first, then those of the other four, the same bytes took up to 1.6 times as long, by where the matrix began.
        high = T.alloc_buffer((FOUR,), "int32x4", scope="local")
        low = T.alloc_buffer((FOUR,), "int32x4", scope="local")
        biases = T.alloc_buffer((FOUR,), "int32x4", scope="local")
        for i in T.unroll(quads):
            total[i] = start_sum(QSUMS, starts[0] + group)
        for unit in T.unroll(layout.units_per_group):
            for four in T.unroll(quads // FOUR):
                for i in T.unroll(FOUR):
                    high[i] = T.Broadcast(T.int32(0), 4)
                    low[i] = T.Broadcast(T.int32(0), 4)
                    biases[i] = T.Broadcast(T.int32(0), 4)
                for word in words(zero):
                    for part in T.unroll(parts):
                        at: T.int32 = ((starts[0] + group) * vectors + unit * (4 * parts) + part * 4 + word) * WORDS
                        for i in T.unroll(FOUR):
                            weight: T.int32x4 = weight_bytes(load_words(W, rows[four * FOUR + i], group, unit, word), part)
                            high[i] = relaxed_dot(weight, X[at], high[i])
                            low[i] = relaxed_dot(weight, X[at + 1], low[i])
                            if layout.zero == 0:
                                biases[i] = relaxed_dot(weight, T.int32(SIXTY_FOURS), biases[i])
                for i in T.unroll(FOUR):
                    total[four * FOUR + i] = total[four * FOUR + i] + T.shift_left(high[i] - biases[i], T.Broadcast(T.int32(7), 4)) + low[i]

    add_products = {PAIRS: add_pairs, HALVES: add_halves, SEVENS: add_sevens if tokens > 1 else add_sevens_of_one}[form]

    @T.inline
    def add_group(W, S, X, QSCALES, QSUMS, acc, rows, starts, group, zero):
        total = T.alloc_buffer((tokens * quads,), "int32x4", scope="local")
        scales = T.alloc_buffer((quads,), "float32x4", scope="local")
        add_products(W, X, QSUMS, total, rows, starts, group, zero)
        for i in T.unroll(quads):
            load(S, rows[i], group, scales, i)
        for t in T.unroll(tokens):
            for i in T.unroll(quads):
                scale: T.float32x4 = scales[i] * T.Broadcast(QSCALES[starts[t] + group], 4)
                acc[t * quads + i] = acc[t * quads + i] + T.Cast("float32x4", total[t * quads + i]) * scale

    return add_group
