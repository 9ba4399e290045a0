"""What a matrix product does with its sums before it stores them."""
import math

from tvm.script import tirx as T

from .kernel import exact

EPILOGUES = ("none", "gated", "gated_by", "softcap")


def gelu(x):
    """GELU in its tanh form (`gelu_pytorch_tanh`): 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    return T.float32(0.5) * x * (T.float32(1) + T.tanh(exact(math.sqrt(2 / math.pi)) * (x + exact(0.044715) * x * x * x)))


def softcap(x, cap: float):
    """cap * tanh(x / cap): Gemma's bound on the final logits."""
    return exact(cap) * T.tanh(x / exact(cap))
