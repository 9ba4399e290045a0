"""Gemma 3 and Gemma 4 in numpy, a layer after the other, as their papers and transformers say.

All tokens of a prompt at once, from an empty cache, and several copies side by side (copies.py): values are float64 [copies, tokens, width].
"""

from dataclasses import dataclass

import numpy as np

from compiler.kernels.twins import attention, gelu, rms_norm, rope
from compiler.known_answer.copies import COPIES
from compiler.known_answer.products import Products
from model_defs import gemma3, gemma4
from model_defs.rope import Rope

SLIDING = "sliding_attention"


@dataclass(frozen=True)
class AttentionPlan:
    """One layer's attention. source: the layer whose keys and values it reads. norms_values: V is normed, without a weight."""

    kv_heads: int
    head_size: int
    window: int | None
    rotation: Rope
    scale: float
    source: int
    k_is_v: bool
    norms_values: bool


def attention_plans(config: gemma3.Config | gemma4.Config) -> list[AttentionPlan]:
    """Those of all layers."""
    if isinstance(config, gemma3.Config):
        return [
            AttentionPlan(
                config.num_key_value_heads, config.head_dim, config.sliding_window if kind == SLIDING else None, config.rope[kind],
                config.attention_scale, layer, False, False,
            )
            for layer, kind in enumerate(config.layer_types)
        ]
    return [
        AttentionPlan(
            own.kv_heads, own.head_dim, config.sliding_window if own.kind == SLIDING else None, config.rope[own.kind], 1.0, own.kv_source,
            own.k_is_v, True,
        )
        for own in config.layers
    ]


class TextModel:
    """Runs a prompt; `layers` then holds what each layer left of the last token, [copies, hidden size] each."""

    def __init__(self, config: gemma3.Config | gemma4.Config, products: Products) -> None:
        self.config, self.products = config, products
        self.plans = attention_plans(config)
        self.layers: list[np.ndarray] = []
        self._caches: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def logits(self, ids: list[int], on_layer=lambda: None) -> np.ndarray:
        """The last token's logits, [copies, vocabulary]. on_layer is called after each layer."""
        config = self.config
        embedded = config.hidden_size**0.5 * self.products.rows("embed_tokens", ids)
        x = np.repeat(embedded[None], len(COPIES), axis=0)
        per_layer = self.per_layer_inputs(ids, x)
        for layer in range(len(self.plans)):
            x = self.layer(layer, x, None if per_layer is None else per_layer[:, :, layer])
            self.layers.append(x[:, -1])
            on_layer()
        name = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
        found = self.products.product(self.norm(x[:, -1:], "norm"), name)[:, 0]
        cap = config.final_logit_softcapping
        return found if cap is None else cap * np.tanh(found / cap)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return rms_norm(x, self.config.rms_norm_eps) * self.products.vector(f"{name}.weight")

    def per_layer_inputs(self, ids: list[int], x: np.ndarray) -> np.ndarray | None:
        """Per-layer embeddings, [copies, tokens, layers, per-layer size]; None of a model without."""
        size = getattr(self.config, "hidden_size_per_layer_input", 0)
        if not size:
            return None
        shape = (*x.shape[:2], len(self.plans), size)
        own = size**0.5 * self.products.rows("embed_tokens_per_layer", ids)
        context = self.products.linear(x, "per_layer_model_projection") * self.config.hidden_size**-0.5
        return (own.reshape(1, *shape[1:]) + self.norm(context.reshape(shape), "per_layer_projection_norm")) * 2.0**-0.5

    def layer(self, number: int, x: np.ndarray, per_layer_input: np.ndarray | None) -> np.ndarray:
        name, products = f"layers.{number}", self.products
        x = x + self.norm(self.attend(number, self.norm(x, f"{name}.input_layernorm")), f"{name}.post_attention_layernorm")
        x = x + self.norm(self.feed_forward(name, x), f"{name}.post_feedforward_layernorm")
        if per_layer_input is not None:
            gated = gelu(products.linear(x, f"{name}.per_layer_input_gate")) * per_layer_input
            x = x + self.norm(products.linear(gated, f"{name}.per_layer_projection"), f"{name}.post_per_layer_input_norm")
        return x * products.vector(f"{name}.layer_scalar") if isinstance(self.config, gemma4.Config) else x

    def feed_forward(self, name: str, x: np.ndarray) -> np.ndarray:
        """The gated MLP and, where there are any, the experts beside it."""
        products = self.products
        normed = self.norm(x, f"{name}.pre_feedforward_layernorm")
        gated = gelu(products.linear(normed, f"{name}.mlp.gate_proj")) * products.linear(normed, f"{name}.mlp.up_proj")
        dense = products.linear(gated, f"{name}.mlp.down_proj")
        experts = getattr(self.config, "experts", None)
        if experts is None:
            return dense
        scaled = rms_norm(x, self.config.rms_norm_eps) * products.vector(f"{name}.router.scale") * self.config.hidden_size**-0.5
        scores = products.linear(scaled, f"{name}.router.proj")
        mixed = products.experts(self.norm(x, f"{name}.pre_feedforward_layernorm_2"), scores, f"{name}.experts",
                                 products.vector(f"{name}.router.per_expert_scale"), experts.chosen)
        return self.norm(dense, f"{name}.post_feedforward_layernorm_1") + self.norm(mixed, f"{name}.post_feedforward_layernorm_2")

    def attend(self, number: int, x: np.ndarray) -> np.ndarray:
        name, plan = f"layers.{number}.self_attn", self.plans[number]
        frequencies = plan.rotation.frequencies(plan.head_size)

        def turned(y: np.ndarray) -> np.ndarray:
            return plan.rotation.scale * np.stack([rope(copy, 0, frequencies) for copy in y])

        if plan.source == number:
            k = self.heads(self.products.linear(x, f"{name}.k_proj"), plan.kv_heads)
            v = k if plan.k_is_v else self.heads(self.products.linear(x, f"{name}.v_proj"), plan.kv_heads)
            values = rms_norm(v, self.config.rms_norm_eps) if plan.norms_values else v
            self._caches[number] = turned(self.norm(k, f"{name}.k_norm")), values
        q = turned(self.norm(self.heads(self.products.linear(x, f"{name}.q_proj"), self.config.num_attention_heads), f"{name}.q_norm"))
        attended = [attention(*copy, 0, plan.window, plan.scale)[0] for copy in zip(q, *self._caches[plan.source])]
        return self.products.linear(np.stack(attended).reshape(*x.shape[:2], -1), f"{name}.o_proj")

    @staticmethod
    def heads(x: np.ndarray, count: int) -> np.ndarray:
        """[copies, tokens, heads * D] -> [copies, tokens, heads, D]."""
        return x.reshape(*x.shape[:2], count, -1)
