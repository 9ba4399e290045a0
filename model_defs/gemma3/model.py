"""Gemma 3 text model.

Departures from a plain transformer: RMS norms before and after both blocks, Q and K normed a head before RoPE, five
sliding-window layers for each global one, embeddings scaled by sqrt(hidden size).
"""
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import op

from ..modules import Embedding, GatedMLP, RMSNorm, checkpoint_names, split_heads
from ..operators import Cache, attend, embed, kv_append, last_row, rope
from ..sizes import linear, padded, stored_head
from .config import Config


class Attention(nn.Module):
    def __init__(self, config: Config, layer: int):
        self.heads, self.kv_heads, self.size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        size = stored_head(self.size)
        kind = config.layer_types[layer]
        self.window = config.sliding_window if kind == "sliding_attention" else None
        self.rotation, self.scale = config.rope[kind], config.attention_scale
        self.bounds = [self.heads * size, (self.heads + self.kv_heads) * size]
        self.qkv_proj = linear(config.hidden_size, self.size // 2, parts=2 * (self.heads + 2 * self.kv_heads))
        self.q_norm = RMSNorm(self.size, config.rms_norm_eps, parts=2)
        self.k_norm = RMSNorm(self.size, config.rms_norm_eps, parts=2)
        self.o_proj = linear(self.heads * self.size, config.hidden_size)

    def forward(self, x: nn.Tensor, state: nn.Tensor, cache: nn.Tensor) -> nn.Tensor:
        q, k, v = op.split(self.qkv_proj(x), self.bounds, axis=-1)
        q = rope(self.q_norm(split_heads(q, self.heads)), state, self.rotation)
        k = rope(self.k_norm(split_heads(k, self.kv_heads)), state, self.rotation)
        cache = kv_append(cache, k, split_heads(v, self.kv_heads), state)
        return self.o_proj(attend(q, cache, state, self.size, self.window, self.scale))


class Layer(nn.Module):
    def __init__(self, config: Config, layer: int):
        size, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, layer)
        self.mlp = GatedMLP(size, config.intermediate_size)
        self.input_layernorm = RMSNorm(size, eps)
        self.post_attention_layernorm = RMSNorm(size, eps)
        self.pre_feedforward_layernorm = RMSNorm(size, eps)
        self.post_feedforward_layernorm = RMSNorm(size, eps)

    def forward(self, x: nn.Tensor, state: nn.Tensor, cache: nn.Tensor) -> nn.Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), state, cache))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class TextModel(nn.Module):
    """The steps of a Program as methods; `caches` holds one tensor a layer, in layer order."""

    def __init__(self, config: Config):
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Layer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        if not config.tie_word_embeddings:
            self.lm_head = Embedding(config.vocab_size, config.hidden_size)

    def body(self, tokens: nn.Tensor, state: nn.Tensor, caches) -> nn.Tensor:
        """[M] ids -> [M, hidden size] after the last layer."""
        x = embed(tokens, self.embed_tokens.weight, self.config.hidden_size**0.5)
        for layer, cache in zip(self.layers, caches):
            x = layer(x, state, cache)
        return x

    def head(self, x: nn.Tensor) -> nn.Tensor:
        """[1, hidden size] -> logits [1, vocabulary]."""
        table = self.embed_tokens if self.config.tie_word_embeddings else self.lm_head
        logits, cap = table.logits(self.norm(x)), self.config.final_logit_softcapping
        return logits if cap is None else op.tanh(logits / cap) * cap

    def decode(self, tokens: nn.Tensor, state: nn.Tensor, caches) -> nn.Tensor:
        return self.head(self.body(tokens, state, caches))

    def prefill(self, tokens: nn.Tensor, state: nn.Tensor, caches) -> tuple[nn.Tensor]:
        return (last_row(self.body(tokens, state, caches), state),)

    def tail(self, handover, state: nn.Tensor, caches) -> nn.Tensor:
        return self.head(handover[0])

    def handover(self) -> dict[str, int]:
        """What `prefill` leaves for `tail`: names and widths of its results, in order."""
        return {"hidden": padded(self.config.hidden_size)}

    def caches(self) -> list[Cache]:
        config = self.config
        return [Cache(i, config.num_key_value_heads, config.head_dim, config.sliding_window if kind == "sliding_attention" else None)
                for i, kind in enumerate(config.layer_types)]

    def kv_sources(self) -> list[tuple[str, int]]:
        """For each layer its kind, and the layer whose KV it reads."""
        return [(kind, i) for i, kind in enumerate(self.config.layer_types)]

    @staticmethod
    def sources(parameter: str) -> list[str]:
        return ["lm_head.weight"] if parameter == "lm_head.weight" else checkpoint_names(parameter)
