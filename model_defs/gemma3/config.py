"""Sizes of a Gemma 3 text model, from its configuration."""
from dataclasses import dataclass

from ..config import even, expect, kv_heads, layer_types, require
from ..rope import Rope, rope_by_kind


@dataclass(frozen=True)
class Config:
    """Names as in transformers' `Gemma3TextConfig`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    sliding_window: int
    layer_types: tuple[str, ...]
    rope: dict[str, Rope]
    attention_scale: float
    rms_norm_eps: float
    final_logit_softcapping: float | None
    tie_word_embeddings: bool
    max_position_embeddings: int

    @staticmethod
    def from_dict(config: dict) -> "Config":
        """Raises ConfigError for a missing key or a variant that Gemma 3 text models do not have."""
        expect(config, "hidden_activation", "gelu_pytorch_tanh")
        expect(config, "attention_bias", False)
        expect(config, "attn_logit_softcapping", None)
        expect(config, "use_bidirectional_attention", False, None)
        kinds, trained = layer_types(config), require(config, "max_position_embeddings")
        return Config(
            vocab_size=require(config, "vocab_size"), hidden_size=require(config, "hidden_size"),
            intermediate_size=require(config, "intermediate_size"),
            num_hidden_layers=require(config, "num_hidden_layers"), num_attention_heads=require(config, "num_attention_heads"),
            num_key_value_heads=kv_heads("", require(config, "num_attention_heads"), require(config, "num_key_value_heads")),
            head_dim=even("head_dim", require(config, "head_dim")),
            sliding_window=require(config, "sliding_window"), layer_types=kinds, rope=rope_by_kind(require(config, "rope_parameters"), kinds, trained),
            attention_scale=require(config, "query_pre_attn_scalar") ** -0.5, rms_norm_eps=float(require(config, "rms_norm_eps")),
            final_logit_softcapping=config.get("final_logit_softcapping"), tie_word_embeddings=config.get("tie_word_embeddings", True),
            max_position_embeddings=trained)
