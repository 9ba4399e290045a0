"""Gemma 4 text model.

Departures from Gemma 3: attention is not scaled, since Q, K and V are all normed (V without a weight); global layers have
heads of another size, rotate only a part of them and may use K as V; the last layers may own no K and V but read those
of the last own-KV layer of their kind, with a wider MLP; each layer may add a per-layer embedding (PLE) and ends with a
learned scalar. The 26B-A4B has experts beside each dense MLP.
"""
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import op

from ..modules import Embedding, GatedMLP, RMSNorm, checkpoint_names, split_heads
from ..operators import Cache, attend, embed, embed_parts, experts_gated, experts_sum, kv_append, last_row, rope, route, unit_rms_norm
from ..sizes import hold, linear, padded, stored_head
from .config import Config, ExpertsConfig


class Attention(nn.Module):
    """Q, K and V come from one matrix: `qkv_proj`, `qk_proj` where K = V, `q_proj` where KV is shared."""

    def __init__(self, config: Config, layer: int):
        own = config.layers[layer]
        self.heads, self.kv_heads, self.size = config.num_attention_heads, own.kv_heads, own.head_dim
        self.window = config.sliding_window if own.kind == "sliding_attention" else None
        self.rotation, self.eps = config.rope[own.kind], config.rms_norm_eps
        # In 26B and 31B an image's tokens see each other, in sliding layers only.
        self.blocks = config.images_see_both_ways and self.window is not None
        self.shared, self.k_is_v = own.kv_source != layer, own.k_is_v
        q, kv = self.heads * stored_head(self.size), self.kv_heads * stored_head(self.size)
        self.bounds = [q] if self.k_is_v else [q, q + kv]
        self.q_norm = RMSNorm(self.size, self.eps, parts=2)
        if self.shared:
            self.q_proj = self.projection(config, self.heads)
        else:
            self.k_norm = RMSNorm(self.size, self.eps, parts=2)
            if self.k_is_v:
                self.qk_proj = self.projection(config, self.heads + self.kv_heads)
            else:
                self.qkv_proj = self.projection(config, self.heads + 2 * self.kv_heads)
        self.o_proj = linear(self.heads * self.size, config.hidden_size)

    def projection(self, config: Config, heads: int) -> nn.Linear:
        """To so many heads, each half of which is padded."""
        return linear(config.hidden_size, self.size // 2, parts=2 * heads)

    def project(self, x: nn.Tensor):
        """Q, K and V before their norms, [M, heads * size] each."""
        if self.k_is_v:
            q, k = op.split(self.qk_proj(x), self.bounds, axis=-1)
            return q, k, k
        return op.split(self.qkv_proj(x), self.bounds, axis=-1)

    def forward(self, x: nn.Tensor, state: nn.Tensor, cache: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor]:
        """The block's output, and the cache as it is after it."""
        if self.shared:
            q = self.q_proj(x)
        else:
            q, k, v = self.project(x)
            k = rope(self.k_norm(split_heads(k, self.kv_heads)), state, self.rotation)
            v = unit_rms_norm(split_heads(v, self.kv_heads), self.eps, self.size)
            cache = kv_append(cache, k, v, state)
        q = rope(self.q_norm(split_heads(q, self.heads)), state, self.rotation)
        return self.o_proj(attend(q, cache, state, self.size, self.window, 1.0, self.blocks)), cache


class Router(nn.Module):
    """Which experts a token goes to: a projection of x / rms(x) * scale / sqrt(hidden size)."""

    def __init__(self, hidden_size: int, experts: ExpertsConfig, eps: float):
        norm = RMSNorm(hidden_size, eps)
        self.scale, self.eps = norm.weight, norm.eps
        self.proj = nn.Linear(padded(hidden_size), experts.count, bias=False)
        hold(self.proj.weight, columns=hidden_size)
        self.per_expert_scale = nn.Parameter((experts.count,), "float32")
        self.factor, self.chosen = hidden_size**-0.5, experts.chosen

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        scores = self.proj(op.rms_norm(x, self.scale, axes=-1, epsilon=self.eps) * self.factor)
        return route(scores, self.per_expert_scale, self.chosen)


class Experts(nn.Module):
    """The experts' gated MLPs (modules.GatedMLP), each kind of matrix in one tensor."""

    def __init__(self, hidden_size: int, experts: ExpertsConfig):
        size, inner = padded(hidden_size), padded(experts.intermediate_size)
        self.gate_up_proj = hold(nn.Parameter((experts.count, 2 * inner, size), "float32"), (experts.intermediate_size, inner), hidden_size)
        self.down_proj = hold(nn.Parameter((experts.count, size, inner), "float32"), (hidden_size, size), experts.intermediate_size)

    def forward(self, x: nn.Tensor, routing: nn.Tensor) -> nn.Tensor:
        return experts_sum(experts_gated(x, self.gate_up_proj, routing), self.down_proj, routing)


class Layer(nn.Module):
    def __init__(self, config: Config, layer: int):
        size, eps, per_layer = config.hidden_size, config.rms_norm_eps, config.hidden_size_per_layer_input
        self.self_attn = Attention(config, layer)
        self.mlp = GatedMLP(size, config.layers[layer].intermediate_size)
        self.input_layernorm = RMSNorm(size, eps)
        self.post_attention_layernorm = RMSNorm(size, eps)
        self.pre_feedforward_layernorm = RMSNorm(size, eps)
        self.post_feedforward_layernorm = RMSNorm(size, eps)
        self.layer_scalar = nn.Parameter((1,), "float32")
        self.has_experts = config.experts is not None
        if self.has_experts:
            self.router = Router(size, config.experts, eps)
            self.experts = Experts(size, config.experts)
            self.post_feedforward_layernorm_1 = RMSNorm(size, eps)
            self.pre_feedforward_layernorm_2 = RMSNorm(size, eps)
            self.post_feedforward_layernorm_2 = RMSNorm(size, eps)
        self.has_per_layer_input = bool(per_layer)
        if self.has_per_layer_input:
            self.per_layer_input_gate = linear(size, per_layer)
            self.per_layer_projection = linear(per_layer, size)
            self.post_per_layer_input_norm = RMSNorm(size, eps)

    def feed_forward(self, x: nn.Tensor) -> nn.Tensor:
        """The dense MLP and, where there are any, the experts beside it, from the same residual."""
        dense = self.mlp(self.pre_feedforward_layernorm(x))
        if not self.has_experts:
            return dense
        mixed = self.experts(self.pre_feedforward_layernorm_2(x), self.router(x))
        return self.post_feedforward_layernorm_1(dense) + self.post_feedforward_layernorm_2(mixed)

    def forward(self, x: nn.Tensor, per_layer_input: nn.Tensor | None, state: nn.Tensor, cache: nn.Tensor):
        attended, cache = self.self_attn(self.input_layernorm(x), state, cache)
        x = x + self.post_attention_layernorm(attended)
        x = x + self.post_feedforward_layernorm(self.feed_forward(x))
        if self.has_per_layer_input:
            gated = op.gelu(self.per_layer_input_gate(x), approximate="tanh") * per_layer_input
            x = x + self.post_per_layer_input_norm(self.per_layer_projection(gated))
        return x * self.layer_scalar, cache


class TextModel(nn.Module):
    """The steps of a Program as methods; `caches` holds one tensor for each layer that owns KV, in layer order."""

    def __init__(self, config: Config):
        self.config = config
        size, per_layer = config.hidden_size, config.hidden_size_per_layer_input
        self.embed_tokens = Embedding(config.vocab_size, size)
        self.layers = nn.ModuleList([Layer(config, i) for i in range(len(config.layers))])
        self.norm = RMSNorm(size, config.rms_norm_eps)
        if per_layer:
            layers = len(config.layers)
            # Only looked up: its rows are the checkpoint's, and the lookup pads each layer's part.
            self.embed_tokens_per_layer = nn.Module()
            self.embed_tokens_per_layer.weight = nn.Parameter((config.vocab_size_per_layer_input, layers * per_layer), "float32")
            self.per_layer_model_projection = linear(size, per_layer, parts=layers)
            self.per_layer_projection_norm = RMSNorm(per_layer, config.rms_norm_eps)
        if not config.tie_word_embeddings:
            self.lm_head = Embedding(config.vocab_size, size)

    def embed(self, tokens: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor | None]:
        """[M] ids -> [M, hidden size], and per-layer inputs [M, layers * padded per-layer size] (None without PLE)."""
        config, per_layer = self.config, self.config.hidden_size_per_layer_input
        x = embed(tokens, self.embed_tokens.weight, config.hidden_size**0.5)
        if not per_layer:
            return x, None
        m, layers, stored = tokens.shape[0], len(config.layers), padded(per_layer)
        own = embed_parts(tokens, self.embed_tokens_per_layer.weight, per_layer**0.5, layers)
        context = self.per_layer_model_projection(x) * config.hidden_size**-0.5
        context = self.per_layer_projection_norm(op.reshape(context, (m, layers, stored)))
        mixed = (own + context) * 2.0**-0.5
        return x, op.reshape(mixed, (m, layers * stored))

    def run_layers(self, first: int, last: int, x: nn.Tensor, per_layer: nn.Tensor | None, state: nn.Tensor, caches: dict):
        """Layers first ... last - 1; `caches` by layer, brought up to date."""
        size = self.config.hidden_size_per_layer_input
        inputs = op.split(per_layer, len(self.config.layers), axis=-1) if size and len(self.config.layers) > 1 else [per_layer]
        for i in range(first, last):
            source = self.config.layers[i].kv_source
            x, caches[source] = self.layers[i](x, inputs[i] if size else None, state, caches[source])
        return x

    def head(self, x: nn.Tensor) -> nn.Tensor:
        """[1, hidden size] -> logits [1, vocabulary]."""
        table = self.embed_tokens if self.config.tie_word_embeddings else self.lm_head
        logits, cap = table.logits(self.norm(x)), self.config.final_logit_softcapping
        return logits if cap is None else op.tanh(logits / cap) * cap

    def by_layer(self, caches) -> dict:
        return {cache.layer: tensor for cache, tensor in zip(self.caches(), caches)}

    def decode(self, tokens: nn.Tensor, state: nn.Tensor, caches) -> nn.Tensor:
        x, per_layer = self.embed(tokens)
        return self.head(self.run_layers(0, len(self.config.layers), x, per_layer, state, self.by_layer(caches)))

    def prefill(self, tokens: nn.Tensor, state: nn.Tensor, caches):
        x, per_layer = self.embed(tokens)
        x = last_row(self.run_layers(0, self.config.first_shared_layer, x, per_layer, state, self.by_layer(caches)), state)
        return (x,) if per_layer is None else (x, last_row(per_layer, state))

    def tail(self, handover, state: nn.Tensor, caches) -> nn.Tensor:
        """Layers without KV of their own, for the last token alone, and the head."""
        x, *per_layer = handover
        first, last = self.config.first_shared_layer, len(self.config.layers)
        return self.head(self.run_layers(first, last, x, per_layer[0] if per_layer else None, state, self.by_layer(caches)))

    def handover(self) -> dict[str, int]:
        """What `prefill` leaves for `tail`: names and widths of its results, in order."""
        packed = len(self.config.layers) * padded(self.config.hidden_size_per_layer_input)
        return {"hidden": padded(self.config.hidden_size), **({"per_layer": packed} if packed else {})}

    def caches(self) -> list[Cache]:
        return [Cache(i, layer.kv_heads, layer.head_dim, self.config.sliding_window if layer.kind == "sliding_attention" else None)
                for i, layer in enumerate(self.config.layers) if layer.kv_source == i]

    def kv_sources(self) -> list[tuple[str, int]]:
        """For each layer its kind, and the layer whose KV it reads."""
        return [(layer.kind, layer.kv_source) for layer in self.config.layers]

    @staticmethod
    def sources(parameter: str) -> list[str]:
        return ["lm_head.weight"] if parameter == "lm_head.weight" else checkpoint_names(parameter)
