"""Sizes of a Gemma 4 text model, from its configuration."""
from dataclasses import dataclass

from ..config import ConfigError, even, expect, kv_heads, layer_types, require
from ..rope import Rope, rope_by_kind


@dataclass(frozen=True)
class LayerConfig:
    """What differs from layer to layer.

    kv_source: the layer whose cache this one reads: itself, or, in a "reuse" layer, the last own-KV layer of its kind.
    """

    kind: str
    head_dim: int
    kv_heads: int
    kv_source: int
    k_is_v: bool
    intermediate_size: int


@dataclass(frozen=True)
class ExpertsConfig:
    """Mixture of experts: `chosen` of `count` experts a token, each with an MLP of `intermediate_size`."""

    count: int
    chosen: int
    intermediate_size: int

    @staticmethod
    def from_dict(config: dict) -> "ExpertsConfig | None":
        """None for a dense model; ConfigError where more experts are chosen than there are."""
        if not config.get("enable_moe_block"):
            return None
        count, chosen = require(config, "num_experts"), require(config, "top_k_experts")
        if not 0 < chosen <= count:
            raise ConfigError(f"config: `top_k_experts` is {chosen}; expected 1 to `num_experts`, {count}")
        return ExpertsConfig(count, chosen, require(config, "moe_intermediate_size"))


@dataclass(frozen=True)
class Config:
    """Names as in transformers' `Gemma4TextConfig`."""

    vocab_size: int
    vocab_size_per_layer_input: int
    hidden_size: int
    hidden_size_per_layer_input: int
    num_attention_heads: int
    sliding_window: int
    layers: tuple[LayerConfig, ...]
    first_shared_layer: int
    experts: ExpertsConfig | None
    images_see_both_ways: bool
    rope: dict[str, Rope]
    rms_norm_eps: float
    final_logit_softcapping: float | None
    tie_word_embeddings: bool
    max_position_embeddings: int

    @staticmethod
    def from_dict(config: dict) -> "Config":
        """Raises ConfigError for a missing key or a variant that this definition does not cover."""
        expect(config, "hidden_activation", "gelu_pytorch_tanh")
        expect(config, "attention_bias", False)
        expect(config, "use_bidirectional_attention", None, "vision")
        kinds = layer_types(config)
        trained = require(config, "max_position_embeddings")
        shared = config.get("num_kv_shared_layers") or 0
        if shared >= len(kinds):
            raise ConfigError(f"config: `num_kv_shared_layers` is {shared}; expected less than the {len(kinds)} layers")
        first_shared = len(kinds) - shared
        return Config(
            vocab_size=require(config, "vocab_size"),
            vocab_size_per_layer_input=config.get("vocab_size_per_layer_input") or require(config, "vocab_size"),
            hidden_size=require(config, "hidden_size"),
            hidden_size_per_layer_input=config.get("hidden_size_per_layer_input") or 0,
            num_attention_heads=require(config, "num_attention_heads"), sliding_window=require(config, "sliding_window"),
            layers=tuple(layer_config(config, kinds, i, first_shared) for i in range(len(kinds))),
            first_shared_layer=first_shared, experts=ExpertsConfig.from_dict(config),
            images_see_both_ways=config.get("use_bidirectional_attention") == "vision",
            rope=rope_by_kind(require(config, "rope_parameters"), kinds, trained), rms_norm_eps=float(require(config, "rms_norm_eps")),
            final_logit_softcapping=config.get("final_logit_softcapping"), tie_word_embeddings=config.get("tie_word_embeddings", True),
            max_position_embeddings=trained)


def layer_config(config: dict, kinds: tuple[str, ...], layer: int, first_shared: int) -> LayerConfig:
    """One layer's numbers; `per_layer_config` says what differs from those of the whole model."""
    kind, shared = kinds[layer], layer >= first_shared
    is_global, k_is_v = kind == "full_attention", bool(config.get("attention_k_eq_v"))
    own = next((values for index, values in config.get("per_layer_config", {}).items() if int(index) == layer), {})
    sources = [i for i in range(min(layer + 1, first_shared)) if kinds[i] == kind]
    if not sources:
        raise ConfigError(f"config: layer {layer} shares the KV of the last {kind} layer before layer {first_shared}, and there is none")
    return LayerConfig(
        kind=kind, head_dim=even(f"head_dim of layer {layer}", own.get("head_dim") or require(config, "head_dim")),
        kv_heads=kv_heads(f" of layer {layer}", require(config, "num_attention_heads"), own.get("num_key_value_heads") or require(config, "num_key_value_heads")),
        kv_source=sources[-1] if shared else layer, k_is_v=k_is_v and is_global,
        intermediate_size=require(config, "intermediate_size")
        * (2 if config.get("use_double_wide_mlp") and shared else 1))
