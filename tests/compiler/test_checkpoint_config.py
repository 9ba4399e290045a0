"""Every form of config.json ends in the one that transformers itself writes."""

from pathlib import Path

import pytest
from transformers import Gemma3TextConfig, Gemma4TextConfig

from compiler.checkpoint.config import DEFAULTS, text_config
from compiler.errors import GemletError

FILE = Path("config.json")
CLASSES = {"gemma3_text": Gemma3TextConfig, "gemma4_text": Gemma4TextConfig}
RAW = {
    "gemma3, nothing stated": {"model_type": "gemma3_text"},
    "gemma3 of transformers 4, as the hub has the 270M": {
        "model_type": "gemma3_text",
        "num_hidden_layers": 7,
        "_sliding_window_pattern": 6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": None,
    },
    "gemma3 with scaled RoPE": {
        "model_type": "gemma3_text",
        "sliding_window_pattern": 3,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "gemma3 of transformers 5": {
        "model_type": "gemma3_text",
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
        },
    },
    "gemma4, nothing stated": {"model_type": "gemma4_text"},
    "gemma4 with keys about global layers": {
        "model_type": "gemma4_text",
        "num_hidden_layers": 12,
        "attention_k_eq_v": True,
        "global_head_dim": 64,
        "num_global_key_value_heads": 1,
    },
    "gemma4 whose global KV heads do not count without K = V": {
        "model_type": "gemma4_text",
        "num_global_key_value_heads": 1,
    },
    "gemma4 with values per layer": {
        "model_type": "gemma4_text",
        "num_hidden_layers": 12,
        "per_layer_config": {"5": {"head_dim": 64}, "11": {"head_dim": 64}},
    },
    "gemma4 whose last layer is said to be sliding": {
        "model_type": "gemma4_text",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"],
    },
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_config_equals_what_transformers_makes_of_it(raw):
    config = text_config(raw, FILE)
    reference = CLASSES[raw["model_type"]](**raw).to_dict()
    keys = {*DEFAULTS[raw["model_type"]], "layer_types", "rope_parameters", "model_type"}
    if raw["model_type"] == "gemma4_text":
        keys.add("per_layer_config")
    assert {key: config[key] for key in keys} == {key: reference[key] for key in keys}
    loaded_again = CLASSES[raw["model_type"]](**config).to_dict()
    assert {key: loaded_again[key] for key in keys} == {key: reference[key] for key in keys}


def test_a_multimodal_config_gives_its_text_part():
    inner = {"num_hidden_layers": 2, "hidden_size": 32}
    outer = {"model_type": "gemma4", "tie_word_embeddings": False, "vision_config": {"hidden_size": 8}}
    config = text_config(outer | {"text_config": inner}, FILE)
    assert config["model_type"] == "gemma4_text" and config["hidden_size"] == 32
    assert config["tie_word_embeddings"] is False and "vision_config" not in config


def test_an_unknown_model_type_is_refused_with_the_known_ones():
    with pytest.raises(GemletError, match=r"config\.json: unknown model_type 'llama'; expected one of gemma3, "):
        text_config({"model_type": "llama"}, FILE)
    with pytest.raises(GemletError, match="unknown model_type None"):
        text_config({}, FILE)


def test_layer_types_of_another_length_are_refused():
    with pytest.raises(GemletError, match="layer_types: expected num_hidden_layers = 3 entries, found 1"):
        text_config({"model_type": "gemma4_text", "num_hidden_layers": 3, "layer_types": ["full_attention"]}, FILE)
