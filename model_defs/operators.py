"""Operators of a Gemma that `relax.frontend.nn` has no word for. The compiler knows them by name.

Shapes: M tokens of one step, H heads of size D. `state` is the step's state buffer (int32 words).
"""
from dataclasses import dataclass

from tvm.relax.frontend import nn

from .rope import Rope
from .sizes import padded, stored_head


@dataclass(frozen=True)
class Cache:
    """A KV cache that a layer owns. head_size: the checkpoint's. window: a ring for a sliding layer; None: linear over the context."""

    layer: int
    kv_heads: int
    head_size: int
    window: int | None


def _like(shape, name: str) -> nn.Tensor:
    return nn.Tensor.placeholder(shape, "float32", name=name)


def embed(tokens: nn.Tensor, weight: nn.Tensor, scale: float) -> nn.Tensor:
    """[M] ids, [V, K] table -> scale * rows, [M, K]."""
    return nn.op.extern("gemlet.embed", [tokens, weight, float(scale)], _like([tokens.shape[0], weight.shape[1]], "embedded"))


def embed_parts(tokens: nn.Tensor, weight: nn.Tensor, scale: float, parts: int) -> nn.Tensor:
    """[M] ids, [V, parts * K] table -> scale * rows, [M, parts, K], each part padded for itself."""
    shape = [tokens.shape[0], parts, padded(int(weight.shape[1]) // parts)]
    return nn.op.extern("gemlet.embed", [tokens, weight, float(scale)], _like(shape, "embedded"))


def unit_rms_norm(x: nn.Tensor, eps: float, size: int) -> nn.Tensor:
    """RMS norm over the last axis, of which `size` values are no padding, without a weight."""
    share = size / int(x.shape[-1])
    return nn.op.extern("gemlet.unit_rms_norm", [x, float(eps * share), share**0.5], _like(x.shape, "normed"))


def rope(x: nn.Tensor, state: nn.Tensor, rotation: Rope) -> nn.Tensor:
    """Rotates [M, H, D] by the tokens' positions; the pairs are (i, i + D / 2)."""
    return nn.op.extern("gemlet.rope", [x, state, rotation.text], _like(x.shape, "rotated"))


def kv_append(cache: nn.Tensor, k: nn.Tensor, v: nn.Tensor, state: nn.Tensor) -> nn.Tensor:
    """Writes K and V, [M, H, D] each, at the tokens' slots; returns the cache as it is then (in place)."""
    return nn.op.extern("gemlet.kv_append", [cache, k, v, state], _like(cache.shape, "cache"))


def attend(q: nn.Tensor, cache: nn.Tensor, state: nn.Tensor, size: int, window: int | None, scale: float, blocks: bool = False) -> nn.Tensor:
    """softmax(scale * Q K^T, causal and within the window) V: [M, H, D] -> [M, H * size]: heads without their padding.

    blocks: the tokens of an image, which the state marks, see each other both ways.
    """
    m, heads, stored = q.shape
    assert stored == stored_head(size)
    return nn.op.extern("gemlet.attend", [q, cache, state, window or 0, float(scale), int(blocks)], _like([m, padded(int(heads) * size)], "attended"))


def route(scores: nn.Tensor, per_expert_scale: nn.Tensor, chosen: int) -> nn.Tensor:
    """[M, E] router scores -> [M, 2 * chosen]: the numbers of the best experts and their weights: softmax over all experts,
    the chosen renormalised to a sum of 1, each times its expert's own scale."""
    return nn.op.extern("gemlet.route", [scores, per_expert_scale, chosen], _like([scores.shape[0], 2 * chosen], "routing"))


def experts_gated(x: nn.Tensor, weight: nn.Tensor, routing: nn.Tensor) -> nn.Tensor:
    """gelu(gate x) * (up x) by each chosen expert: [M, K], [E, 2 N, K] (gate's rows first) -> [M * chosen, N]."""
    rows = x.shape[0] * (routing.shape[1] // 2)
    return nn.op.extern("gemlet.experts_gated", [x, weight, routing], _like([rows, weight.shape[1] // 2], "gated"))


def experts_sum(x: nn.Tensor, weight: nn.Tensor, routing: nn.Tensor) -> nn.Tensor:
    """The chosen experts' products, weighted and summed: [M * chosen, K], [E, N, K] -> [M, N]."""
    return nn.op.extern("gemlet.experts_sum", [x, weight, routing], _like([routing.shape[0], weight.shape[1]], "mixed"))


def last_row(x: nn.Tensor, state: nn.Tensor) -> nn.Tensor:
    """The row of the step's last token that counts: [M, K] -> [1, K]."""
    return nn.op.extern("gemlet.last_row", [x, state], _like([1, x.shape[1]], "last"))
