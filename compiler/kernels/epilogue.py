"""What a matrix product does with its sums before it stores them."""
import math

from tvm.script import tirx as T

EPILOGUES = ("none", "gated", "gated_by", "softcap")


def gelu(x):
    """GELU in its tanh form (`gelu_pytorch_tanh`): 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    return T.float32(0.5) * x * (T.float32(1) + T.tanh(T.float32(math.sqrt(2 / math.pi)) * (x + T.float32(0.044715) * x * x * x)))


def softcap(x, cap: float):
    """cap * tanh(x / cap): Gemma's bound on the final logits."""
    return T.float32(cap) * T.tanh(x / T.float32(cap))
