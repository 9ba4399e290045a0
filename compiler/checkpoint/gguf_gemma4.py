"""Gemma 4 in GGUF. Norms are stored as the factor that they multiply with, as in its other checkpoints.

What the metadata does not say is read off the tensors: K = V where global layers have no `attn_v`, a head of its own
where there is an `output` (tied_head.py), and how much of a global head rotates from `rope_freqs`, which divides the frequencies: by 1
for the pairs that rotate, by 1e30 for those that must not.
"""

from typing import Any

import numpy as np

from compiler.checkpoint.config import text_config
from compiler.checkpoint.gguf_architecture import LAYER_TENSOR_NAMES, TENSOR_NAMES, Architecture, Metadata
from compiler.checkpoint.gguf_file import GGUFFile
from compiler.errors import GemletError

ROPE_FREQS = "rope_freqs.weight"
STILL = 1e20  # a frequency divided by more than this turns nothing within any context
GEMMA4_TENSOR_NAMES = TENSOR_NAMES | {
    "per_layer_token_embd.weight": "model.embed_tokens_per_layer.weight",
    "per_layer_model_proj.weight": "model.per_layer_model_projection.weight",
    "per_layer_proj_norm.weight": "model.per_layer_projection_norm.weight",
    ROPE_FREQS: None,
}
GEMMA4_LAYER_TENSOR_NAMES = LAYER_TENSOR_NAMES | {
    "layer_output_scale.weight": "layer_scalar",
    "inp_gate.weight": "per_layer_input_gate.weight",
    "proj.weight": "per_layer_projection.weight",
    "post_norm.weight": "post_per_layer_input_norm.weight",
    "ffn_gate_inp.weight": "router.proj.weight",
    "ffn_gate_inp.scale": "router.scale",
    "ffn_gate_up_exps.weight": "experts.gate_up_proj",
    "ffn_down_exps.weight": "experts.down_proj",
    "ffn_down_exps.scale": "router.per_expert_scale",
    "pre_ffw_norm_2.weight": "pre_feedforward_layernorm_2.weight",
    "post_ffw_norm_1.weight": "post_feedforward_layernorm_1.weight",
    "post_ffw_norm_2.weight": "post_feedforward_layernorm_2.weight",
}


def gemma4_config(model: GGUFFile) -> dict[str, Any]:
    """The configuration, in transformers' keys, that the file's metadata and tensors state.

    `use_bidirectional_attention` is not among them: it speaks of images, whose weights are in other files.
    """
    metadata = Metadata(model, "gemma4")
    if metadata.get("rope.scaling.type", "none") != "none":
        raise metadata.error("rope.scaling.type", f"expected none, found {metadata.get('rope.scaling.type')}")
    if metadata.linear_factor() != 1:
        raise metadata.error("rope.scaling.factor", f"expected none or 1, found {metadata.linear_factor():g}")
    for suffix in ("", "_swa"):
        metadata.require_equal((f"attention.value_length{suffix}", f"rope.dimension_count{suffix}"), metadata.required(f"attention.key_length{suffix}"))
    common = metadata.common()
    layers = common["num_hidden_layers"]
    sliding = metadata.by_layer("attention.sliding_window_pattern", layers)
    shared = metadata.within("attention.shared_kv_layers", metadata.get("attention.shared_kv_layers", 0), 0, layers - 1)
    k_is_v = _k_is_v(model, [layer for layer in range(layers - shared) if not sliding[layer]])
    experts = metadata.get("expert_count", 0)
    table = model.tensors.get("per_layer_token_embd.weight")
    raw = common | {
        "model_type": "gemma4_text",
        "layer_types": ["sliding_attention" if flag else "full_attention" for flag in sliding],
        "num_kv_shared_layers": shared,
        "num_attention_heads": metadata.one("attention.head_count", metadata.by_layer("attention.head_count", layers)),
        "attention_k_eq_v": k_is_v,
        "head_dim": metadata.required("attention.key_length_swa"),
        "global_head_dim": metadata.required("attention.key_length"),
        "hidden_size_per_layer_input": metadata.get("embedding_length_per_layer_input", 0),
        "enable_moe_block": experts > 0,
        "num_experts": experts or None,
        "top_k_experts": metadata.required("expert_used_count") if experts else None,
        "moe_intermediate_size": metadata.required("expert_feed_forward_length") if experts else None,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "partial_rotary_factor": _rotating_part(model),
                "rope_theta": metadata.get("rope.freq_base", 1_000_000.0),
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": metadata.get("rope.freq_base_swa", 10_000.0)},
        },
    }
    if table is not None:
        raw["vocab_size_per_layer_input"] = table.shape[0]
    raw |= _kv_heads(metadata, sliding, k_is_v)
    return text_config(raw | _mlp_widths(metadata, layers, shared), model.path)


def _k_is_v(model: GGUFFile, global_layers: list[int]) -> bool:
    """Whether these layers, which own KV, have no V projection."""
    without = [layer for layer in global_layers if f"blk.{layer}.attn_v.weight" not in model.tensors]
    if without and without != global_layers:
        raise GemletError(
            f"{model.path}: tensor blk.{without[0]}.attn_v.weight is missing, though other global layers have theirs. "
            "The file is incomplete; download or convert it again."
        )
    return bool(without)


def _kv_heads(metadata: Metadata, sliding: list[bool], k_is_v: bool) -> dict[str, int]:
    key = "attention.head_count_kv"
    heads = metadata.by_layer(key, len(sliding))
    in_global = metadata.one(key, [count for count, flag in zip(heads, sliding) if not flag])
    in_sliding = metadata.one(key, [count for count, flag in zip(heads, sliding) if flag] or [in_global])
    if k_is_v:
        return {"num_key_value_heads": in_sliding, "num_global_key_value_heads": in_global}
    if in_global != in_sliding:  # Gemma 4 has that only where K = V
        raise metadata.error(key, f"found {in_sliding} in sliding and {in_global} in global layers, but V is not K")
    return {"num_key_value_heads": in_sliding}


def _mlp_widths(metadata: Metadata, layers: int, shared: int) -> dict[str, Any]:
    """Layers that share KV may have an MLP twice as wide as the others'."""
    key = "feed_forward_length"
    widths = metadata.by_layer(key, layers)
    own = metadata.one(key, widths[: layers - shared])
    in_shared = metadata.one(key, widths[layers - shared :] or [own])
    if in_shared not in (own, 2 * own):
        raise metadata.error(key, f"expected {own} or twice as much in layers that share KV, found {in_shared}")
    return {"intermediate_size": own, "use_double_wide_mlp": in_shared != own}


def _rotating_part(model: GGUFFile) -> float:
    """How much of a global head rotates."""
    tensor = model.tensors.get(ROPE_FREQS)
    if tensor is None:
        raise GemletError(f"{model.path}: tensor {ROPE_FREQS} is missing. Convert the file again.")
    factors = tensor.values()
    rotating = int(np.count_nonzero(factors == 1))
    if not (factors[:rotating] == 1).all() or not (factors[rotating:] > STILL).all():
        raise GemletError(
            f"{model.path}: tensor {ROPE_FREQS}: expected factors of 1, then of 1e30, found {np.unique(factors)[:4]}: "
            "RoPE is scaled in a way that Gemma 4 is not. Take another file of this model."
        )
    return rotating / factors.size


GEMMA4 = Architecture("Gemma 4", GEMMA4_TENSOR_NAMES, GEMMA4_LAYER_TENSOR_NAMES, gemma4_config)
