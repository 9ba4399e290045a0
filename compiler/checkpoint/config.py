"""Brings a model's config.json into one form: the text model's keys, as transformers 5 writes them, none left out.

Published files of one model differ: older ones leave out whatever equals a default, state RoPE by three separate
keys, the layer kinds by a period, and the head size of global layers by a key instead of per layer.
"""

from pathlib import Path
from typing import Any

from compiler.checkpoint.config_layers import per_layer_config
from compiler.checkpoint.config_rope import gemma3_rope, gemma4_rope
from compiler.checkpoint.config_types import LAYERS, check_types
from compiler.checkpoint.fields import Fields
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

    Raises GemletError, naming the field, for a model type that is not known, and for a value of a wrong type or size.
    """
    model_type, stated = _text_part(Fields(raw, f"{path}: "))
    fields = Fields(DEFAULTS[model_type] | stated.values | {"model_type": model_type}, stated.where)
    check_types(fields)
    config = fields.values
    periods = [_period(fields, key) for key in ("sliding_window_pattern", "_sliding_window_pattern")]
    if config.get("layer_types") is None:
        config["layer_types"] = layer_types(config["num_hidden_layers"], periods[0] or periods[1] or DEFAULT_PERIOD)
    if len(config["layer_types"]) != config["num_hidden_layers"]:
        raise GemletError(
            f"{fields.where}layer_types: expected num_hidden_layers = {config['num_hidden_layers']} entries, "
            f"found {len(config['layer_types'])}."
        )
    if model_type == "gemma4_text":
        # The reference does so too, whatever the file says.
        config["layer_types"] = [*config["layer_types"][:-1], "full_attention"]
        config["per_layer_config"] = per_layer_config(fields)
        config["rope_parameters"] = gemma4_rope(fields)
    else:
        config["rope_parameters"] = gemma3_rope(fields)
    return config


def _text_part(outer: Fields) -> tuple[str, Fields]:
    """The text model's type, and what the file states of it."""
    stated = outer.values.get("model_type")
    model_type = TEXT_MODEL_TYPE.get(stated) if isinstance(stated, str) else None
    if model_type is None:
        raise GemletError(
            f"{outer.where}unknown model_type {stated!r}; expected one of {', '.join(TEXT_MODEL_TYPE)}."
        )
    if outer.is_null("text_config"):
        flat = {key: value for key, value in outer.values.items() if key != "text_config"}
        return model_type, Fields(flat, outer.where)
    inner = outer.object("text_config")
    own = inner.values.get("model_type", model_type)
    if own not in (model_type, stated):
        raise inner.error("model_type", model_type)
    # Of a multimodal model the outer value says whether the head is tied; its default is true, as in transformers.
    beside = {"tie_word_embeddings": True}
    beside |= {key: outer.values[key] for key in ("tie_word_embeddings", "eos_token_id") if not outer.is_null(key)}
    if "eos_token_id" in inner.values:
        beside.pop("eos_token_id", None)
    return model_type, Fields(inner.values | beside, inner.where)


def _period(fields: Fields, key: str) -> int | None:
    """Removes the field; how many layers make up a period, if it says."""
    stated = Fields({key: fields.values.pop(key, None)}, fields.where)
    return None if stated.is_null(key) else stated.whole(key, 1, LAYERS)


def layer_types(layers: int, period: int) -> list[str]:
    """Kinds of layers where every `period`-th is global."""
    return ["full_attention" if (layer + 1) % period == 0 else "sliding_attention" for layer in range(layers)]
