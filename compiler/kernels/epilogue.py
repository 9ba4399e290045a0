"""What a matrix product does with its sums before it stores them."""
import math

from tvm.script import tirx as T

from .kernel import exact

# e to this is a float32 still, and so large that what it divides is next to nothing.
LARGEST_EXPONENT = 80
EPILOGUES = ("none", "gated", "gated_by", "softcap")


def gelu(x):
    """GELU in its tanh form (`gelu_pytorch_tanh`): x (1 + tanh u) / 2 = x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3).

    One exponential where WGSL that TVM writes for tanh has four. The exponent is bounded, since WGSL leaves open what an infinity does.
    """
    exponent = x * (exact(-2 * math.sqrt(2 / math.pi)) + exact(-2 * 0.044715 * math.sqrt(2 / math.pi)) * (x * x))
    return x / (T.float32(1) + T.exp(T.min(exponent, T.float32(LARGEST_EXPONENT))))


def softcap(x, cap: float):
    """cap * tanh(x / cap): Gemma's bound on the final logits."""
    return exact(cap) * T.tanh(x / exact(cap))
