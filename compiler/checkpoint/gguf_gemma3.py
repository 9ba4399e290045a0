"""Gemma 3 in GGUF. Norms are stored as 1 + w already, so that nothing is added to them on reading."""

from typing import Any

from compiler.checkpoint.config import DEFAULT_PERIOD, layer_types, text_config
from compiler.checkpoint.config_types import LAYERS, WIDTH
from compiler.checkpoint.gguf_architecture import LAYER_TENSOR_NAMES, TENSOR_NAMES, Architecture, Metadata
from compiler.checkpoint.gguf_file import GGUFFile

LAYERS_OF_27B = 62


def gemma3_config(model: GGUFFile) -> dict[str, Any]:
    """The configuration, in transformers' keys, that the file's metadata states or implies."""
    metadata = Metadata(model, "gemma3")
    common = metadata.common()
    layers = common["num_hidden_layers"]
    heads = metadata.within("attention.head_count", metadata.for_all("attention.head_count", layers), 1, WIDTH)
    head_dim = metadata.required("attention.key_length")
    metadata.require_equal(("attention.value_length", "rope.dimension_count"), head_dim)
    factor = metadata.linear_factor()  # of global layers, as llama.cpp has it
    scaling = {"rope_type": "default"} if factor == 1 else {"rope_type": "linear", "factor": factor}
    is_27b = common["num_hidden_layers"] == LAYERS_OF_27B
    raw = common | {
        "model_type": "gemma3_text",
        "intermediate_size": metadata.for_all("feed_forward_length", layers),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.for_all("attention.head_count_kv", layers, heads),
        "head_dim": head_dim,
        # The one size whose attention scale is not its head size; the metadata has no key for it.
        "query_pre_attn_scalar": common["hidden_size"] // heads if is_27b else head_dim,
        "layer_types": _layer_types(metadata, common["num_hidden_layers"]),
        "rope_parameters": {
            "full_attention": scaling | {"rope_theta": metadata.get("rope.freq_base", 1_000_000.0)},
            "sliding_attention": {"rope_type": "default", "rope_theta": metadata.get("rope.freq_base_swa", 10_000.0)},
        },
    }
    return text_config(raw, model.path)


def _layer_types(metadata: Metadata, layers: int) -> list[str]:
    """Kinds of layers from a period, or from a list that says of each layer whether it is sliding."""
    key = "attention.sliding_window_pattern"
    if isinstance(metadata.fields.get(f"{metadata.prefix}.{key}"), list):
        return ["sliding_attention" if sliding else "full_attention" for sliding in metadata.values(key)]
    return layer_types(layers, metadata.within(key, metadata.get(key, DEFAULT_PERIOD, int), 1, LAYERS))


GEMMA3 = Architecture("Gemma 3", TENSOR_NAMES, LAYER_TENSOR_NAMES, gemma3_config)
