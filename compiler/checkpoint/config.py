"""Brings a model's config.json into one form: the text model's keys, as transformers 5 writes them, none left out.

Published files of one model differ: older ones leave out whatever equals a default, state RoPE by three separate
keys, the layer kinds by a period, and the head size of global layers by a key instead of per layer.
"""

from pathlib import Path
from typing import Any

from compiler.errors import GemletError

SHARED_DEFAULTS = {
    "vocab_size": 262144,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "final_logit_softcapping": None,
}
DEFAULTS = {
    "gemma3_text": SHARED_DEFAULTS
    | {
        "vocab_size": 262208,
        "num_hidden_layers": 26,
        "sliding_window": 4096,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    },
    "gemma4_text": SHARED_DEFAULTS
    | {
        "num_hidden_layers": 30,
        "sliding_window": 512,
        "use_bidirectional_attention": None,
        "vocab_size_per_layer_input": 262144,
        "hidden_size_per_layer_input": 256,
        "attention_k_eq_v": False,
        "num_kv_shared_layers": 0,
        "enable_moe_block": False,
        "use_double_wide_mlp": False,
        "num_experts": None,
        "top_k_experts": None,
        "moe_intermediate_size": None,
    },
}
TEXT_MODEL_TYPE = {
    "gemma3": "gemma3_text",
    "gemma3_text": "gemma3_text",
    "gemma4": "gemma4_text",
    "gemma4_text": "gemma4_text",
}
DEFAULT_PERIOD = 6  # every sixth layer is global


def text_config(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The text model's configuration from the object in config.json; `path` is for messages.

    Raises GemletError for a model type that is not known.
    """
    model_type = TEXT_MODEL_TYPE.get(raw.get("model_type"))
    if model_type is None:
        raise GemletError(
            f"{path}: unknown model_type {raw.get('model_type')!r}; expected one of {', '.join(TEXT_MODEL_TYPE)}."
        )
    stated = dict(raw)
    if "text_config" in raw:
        if not isinstance(raw["text_config"], dict):
            raise GemletError(f"{path}: text_config: expected an object, found {raw['text_config']!r}.")
        # A multimodal file may state these two beside its text_config only.
        outer = {key: raw[key] for key in ("tie_word_embeddings", "eos_token_id") if raw.get(key) is not None}
        stated = outer | raw["text_config"]
    config = DEFAULTS[model_type] | stated | {"model_type": model_type}
    periods = [config.pop(key, None) for key in ("sliding_window_pattern", "_sliding_window_pattern")]
    if config.get("layer_types") is None:
        config["layer_types"] = layer_types(config["num_hidden_layers"], periods[0] or periods[1] or DEFAULT_PERIOD)
    if len(config["layer_types"]) != config["num_hidden_layers"]:
        raise GemletError(
            f"{path}: layer_types: expected num_hidden_layers = {config['num_hidden_layers']} entries, "
            f"found {len(config['layer_types'])}."
        )
    if model_type == "gemma3_text":
        config["rope_parameters"] = _gemma3_rope(config)
    else:
        _complete_gemma4(config)
    return config


def layer_types(layers: int, period: int) -> list[str]:
    """Kinds of layers where every `period`-th is global."""
    return ["full_attention" if (layer + 1) % period == 0 else "sliding_attention" for layer in range(layers)]


def _gemma3_rope(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """RoPE by layer kind; removes the older keys that stated it."""
    scaling = config.pop("rope_scaling", None) or {}
    if "type" in scaling:  # the key's name before transformers 4.45
        scaling = {"rope_type": scaling["type"]} | {key: scaling[key] for key in scaling if key != "type"}
    older = {
        "full_attention": {"rope_theta": config.pop("rope_theta", 1_000_000.0)} | scaling,
        "sliding_attention": {"rope_theta": config.pop("rope_local_base_freq", 10_000.0)},
    }
    stated = config.get("rope_parameters") or {}
    return {kind: {"rope_type": "default"} | older[kind] | (stated.get(kind) or {}) for kind in older}


def _complete_gemma4(config: dict[str, Any]) -> None:
    """Fills in the RoPE defaults and turns the two keys about global layers into `per_layer_config`."""
    kinds = config["layer_types"] = list(config["layer_types"])
    kinds[-1] = "full_attention"  # the reference does so too, whatever the file says
    config["rope_parameters"] = config.get("rope_parameters") or {
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    }
    head_dim = config.pop("global_head_dim", 512)
    heads = config.pop("num_global_key_value_heads", None)
    overrides = {"head_dim": head_dim}
    if heads is not None and config["attention_k_eq_v"]:
        overrides["num_key_value_heads"] = heads
    stated = config.get("per_layer_config")
    if stated is None:
        stated = {layer: dict(overrides) for layer, kind in enumerate(kinds) if kind == "full_attention"}
    width = len(str(len(kinds) - 1))  # keys of one width sort as numbers do
    config["per_layer_config"] = {f"{int(layer):0{width}}": values for layer, values in stated.items()}
