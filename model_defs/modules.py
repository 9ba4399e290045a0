"""Modules that the Gemma families share."""
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import op

from .sizes import hold, linear, padded


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (arXiv 1910.07467).

    The weight is what the norm multiplies with; checkpoints that store `weight - 1` are corrected when they are read.
    parts: of the axis, each padded for itself. The mean is over padding too, which eps and weight make up for.
    """

    def __init__(self, size: int, eps: float, parts: int = 1):
        held, stored = size // parts, padded(size // parts)
        self.weight = hold(nn.Parameter((parts * stored,), "float32"), (held, stored), factor=(held / stored) ** 0.5)
        self.eps = eps * (held / stored)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return op.rms_norm(x, self.weight, axes=-1, epsilon=self.eps)


class GatedMLP(nn.Module):
    """down(gelu(gate(x)) * up(x)) (arXiv 2002.05202). Gate and up are one matrix, gate's rows first."""

    def __init__(self, hidden_size: int, intermediate_size: int):
        self.gate_up_proj = linear(hidden_size, intermediate_size, parts=2)
        self.down_proj = linear(intermediate_size, hidden_size)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        gate, up = op.split(self.gate_up_proj(x), 2, axis=-1)
        return self.down_proj(op.gelu(gate, approximate="tanh") * up)


class Embedding(nn.Module):
    """The token table, which most Gemmas also use as their LM head."""

    def __init__(self, vocab_size: int, size: int):
        self.weight = hold(nn.Parameter((vocab_size, padded(size)), "float32"), columns=size)

    def logits(self, x: nn.Tensor) -> nn.Tensor:
        return op.matmul(x, op.permute_dims(self.weight))


def split_heads(x: nn.Tensor, heads: int) -> nn.Tensor:
    """[M, heads * D] -> [M, heads, D]."""
    m, width = x.shape
    return op.reshape(x, (m, heads, width // heads))


# One merged matrix of ours, by the last part of its module's name, and the checkpoint's matrices that make it up.
MERGED = {"gate_up_proj": ("gate_proj", "up_proj"), "qkv_proj": ("q_proj", "k_proj", "v_proj"), "qk_proj": ("q_proj", "k_proj")}


def checkpoint_names(parameter: str) -> list[str]:
    """The checkpoint's names (Hugging Face's) of the tensors that, row after row, make up one of our parameters."""
    *path, module, leaf = ["model", *parameter.split(".")]
    return [".".join([*path, part, leaf]) for part in MERGED.get(module, (module,))]
