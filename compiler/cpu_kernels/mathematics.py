"""Exponentials and their kin without a C library: polynomials (Cephes' single-precision ones) after a range reduction on the bits.

Each is an inline (values: local buffer, i) that replaces values[i]: of float32x4 where the name ends in 4, of float32 where it ends in 1.
"""
import math

from tvm.script import tirx as T

from ..kernels.kernel import exact

# ln 2 in two parts: the first has so few bits that its products with an exponent are exact.
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
# Beyond these, exp no longer changes: below, the exponent is 2^-127, which shifts into 0; above, the next would be infinity.
EXP_LOWEST, EXP_HIGHEST = -88.0, 88.37
ROUNDER = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
ROOT_HALF = 0x3F3504F3  # the bits of sqrt(1 / 2)
EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG_TERMS = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
             -2.4999993993e-1, 3.3333331174e-1)
TANH_TERMS = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
TANH_POLYNOMIAL = 0.625  # |x| below which tanh is x + x^3 P(x^2)


def lane_sum(vector):
    """Sum of the four lanes of a float32x4 variable: two and two, then both."""
    low, high = (T.Shuffle([vector], [i]) + T.Shuffle([vector], [i + 1]) for i in (0, 2))
    return low + high


def _functions(lanes: int):
    """exp, log, tanh and gelu for values of so many lanes."""
    Float, Int = (T.float32, T.int32) if lanes == 1 else (T.float32x4, T.int32x4)
    floats, ints = ("float32", "int32") if lanes == 1 else ("float32x4", "int32x4")

    def spread(value):
        return value if lanes == 1 else T.Broadcast(value, lanes)

    def number(value: float):
        return spread(exact(value) if value else T.float32(0))

    def whole(value: int):
        return spread(T.int32(value))

    def polynomial(x, terms: tuple[float, ...]):
        """By Horner; x is a variable."""
        total = number(terms[0])
        for term in terms[1:]:
            total = total * x + number(term)
        return total

    @T.inline
    def exp(values, i):
        """e^x, within 2 ULP where the result is normal; 0 below -88, and no more than exp(88.37)."""
        x: Float = T.min(T.max(values[i], number(EXP_LOWEST)), number(EXP_HIGHEST))
        shifted: Float = x * number(1 / math.log(2)) + number(ROUNDER)
        power: Float = shifted - number(ROUNDER)
        r: Float = x - power * number(LN2_HIGH) - power * number(LN2_LOW)
        mantissa: Float = polynomial(r, EXP_TERMS) * (r * r) + r + number(1.0)
        # The shift drops all of the rounder's bits but the number's own.
        exponent: Int = T.shift_left(T.reinterpret(ints, shifted) + whole(127), whole(23))
        values[i] = mantissa * T.reinterpret(floats, exponent)

    @T.inline
    def log(values, i):
        """ln x of positive normal numbers, within 2 ULP."""
        bits: Int = T.reinterpret(ints, values[i]) - whole(ROOT_HALF)
        power: Float = T.Cast(floats, T.shift_right(bits, whole(23)))
        # The rest lies in sqrt(1 / 2) ... sqrt(2), around 1, where the series runs.
        f: Float = T.reinterpret(floats, T.bitwise_and(bits, whole(0x7FFFFF)) + whole(ROOT_HALF)) - number(1.0)
        square: Float = f * f
        low: Float = polynomial(f, LOG_TERMS) * f * square + power * number(LN2_LOW) - square * number(0.5)
        values[i] = f + low + power * number(LN2_HIGH)

    @T.inline
    def tanh(values, i):
        """tanh x, within 4 ULP: near 0 by a polynomial, since 1 - 2 / (e^2x + 1) would cancel there."""
        x: Float = values[i]
        size: Float = T.max(x, number(0.0) - x)
        values[i] = size + size
        exp(values, i)
        far: Float = number(1.0) - number(2.0) / (values[i] + number(1.0))
        sign: Int = T.bitwise_and(T.reinterpret(ints, x), whole(-(2**31)))
        square: Float = x * x
        near: Float = x + polynomial(square, TANH_TERMS) * square * x
        values[i] = T.Select(size < number(TANH_POLYNOMIAL), near, T.reinterpret(floats, T.bitwise_or(T.reinterpret(ints, far), sign)))

    @T.inline
    def gelu(values, i):
        """`gelu_pytorch_tanh`: x (1 + tanh u) / 2 = x / (1 + e^-2u)."""
        x: Float = values[i]
        values[i] = x * (number(-2 * math.sqrt(2 / math.pi)) + number(-2 * 0.044715 * math.sqrt(2 / math.pi)) * (x * x))
        exp(values, i)
        values[i] = x / (values[i] + number(1.0))

    return exp, log, tanh, gelu


exp4, log4, tanh4, gelu4 = _functions(4)
exp1, log1, tanh1, gelu1 = _functions(1)
