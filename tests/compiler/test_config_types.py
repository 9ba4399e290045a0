"""Whatever stands in a field of a configuration: the model is built from right values, or the field is named."""
import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.config import DEFAULTS, text_config
from compiler.errors import GemletError
from compiler.known_answer.products import Products
from compiler.known_answer.stored_weights import StoredWeights
from compiler.known_answer.text_model import TextModel
from compiler.pipeline import lower_model
from model_defs import FAMILIES
from model_defs.config import ConfigError
from tests.fixtures.gemma4_checkpoints import GLOBAL, SHAPES, SLIDING, make_gemma3, make_gemma4

FILE = Path("config.json")
WRONG = [None, True, -1, 0, 0.5, 1e400, math.nan, 2**70, "", "4", [], [1], {}, {"a": 1}]
ELSE = {  # fields that DEFAULTS does not have, and what their messages may name
    "gemma3_text": ["layer_types", "rope_parameters", "rope_scaling", "rope_theta", "rope_local_base_freq", "sliding_window_pattern"],
    "gemma4_text": ["layer_types", "rope_parameters", "per_layer_config", "global_head_dim", "num_global_key_value_heads"],
}
FIELDS = [(family, key) for family in FAMILIES for key in [*DEFAULTS[family], *ELSE[family]]]


def built(raw: dict):
    """The model definition's sizes; the fields of a ConfigError are those of `config:`."""
    config = text_config(raw, FILE)
    return FAMILIES[config["model_type"]].Config.from_dict(config)


@pytest.mark.parametrize(("family", "key"), FIELDS, ids=map(".".join, FIELDS))
def test_a_wrong_value_is_taken_as_a_right_one_or_its_field_is_named(family, key):
    outer = {"gemma3_text": "gemma3", "gemma4_text": "gemma4"}[family]
    for value in WRONG:
        for raw in ({"model_type": family, key: value}, {"model_type": outer, "text_config": {key: value}}):
            try:
                found = built(raw)
            except (GemletError, ConfigError) as error:
                named = {"enable_moe_block": "num_experts", "num_hidden_layers": "layer"}.get(key, key)  # what lacks where these are true, or few
                assert key in str(error) or named in str(error), (value, error)
                assert isinstance(error, ConfigError) or ("text_config" in raw) == ("text_config" in str(error)), (value, error)
            else:
                assert isinstance(found, FAMILIES[family].Config)


@pytest.mark.parametrize("value", [None, 0, -1, -512, 0.5, True, "512"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_that_holds_no_token_is_refused(family, value):
    with pytest.raises(GemletError, match=r"config\.json: sliding_window: expected a whole number from 1 to \d+, found"):
        built({"model_type": family, "sliding_window": value})


@pytest.mark.parametrize(("stated", "message"), [
    ({"num_hidden_layers": 1_000_000}, "num_hidden_layers: expected a whole number from 1 to 128, found 1000000"),
    ({"rms_norm_eps": 0}, "rms_norm_eps: expected a number above 0"),
    ({"rms_norm_eps": -1e-6}, "rms_norm_eps: expected a number above 0"),
    ({"rms_norm_eps": math.nan}, "rms_norm_eps: expected a number above 0, .* found nan"),
    ({"layer_types": ["full_attention"] * 25 + ["chunked"]}, r"layer_types\.25: expected sliding_attention or full_attention, found 'chunked'"),
    ({"layer_types": "full_attention"}, "layer_types: expected a list"),
    ({"text_config": []}, "text_config: expected an object"),
    ({"text_config": {"model_type": "llama"}}, r"text_config\.model_type: expected gemma\d_text, found 'llama'"),
    ({"eos_token_id": [[1]]}, "eos_token_id: expected a token's id, or a list of ids"),
    ({"num_attention_heads": 6, "num_key_value_heads": 4}, "num_attention_heads` is 6; expected a multiple of `num_key_value_heads`, 4"),
])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_message_says_what_is_expected(family, stated, message):
    with pytest.raises((GemletError, ConfigError), match=message):
        built({"model_type": family, "num_hidden_layers": 26} | stated)


@pytest.mark.parametrize(("stated", "message"), [
    ({"per_layer_config": []}, r"per_layer_config: expected an object, found \[\]"),
    ({"per_layer_config": [{"head_dim": 64}]}, "per_layer_config: expected an object"),
    ({"per_layer_config": {"full_attention": {"head_dim": 64}}}, r"per_layer_config\.full_attention: expected layers from 0 to 29 as keys"),
    ({"per_layer_config": {"30": {"head_dim": 64}}}, r"per_layer_config\.30: expected layers from 0 to 29"),
    ({"per_layer_config": {"5": 64}}, r"per_layer_config\.5: expected an object, found 64"),
    ({"per_layer_config": {"5": {"head_dim": None}}}, r"per_layer_config\.5\.head_dim: expected a whole number"),
    ({"per_layer_config": {"5": {"intermediate_size": 8}}}, r"per_layer_config\.5\.intermediate_size: expected the value of all layers, 9216"),
    ({"global_head_dim": 0}, "global_head_dim: expected a whole number"),
    ({"num_kv_shared_layers": 30}, "num_kv_shared_layers"),
    ({"num_kv_shared_layers": 31}, "num_kv_shared_layers"),
    ({"enable_moe_block": True}, "num_experts"),
])
def test_what_gemma4_has_alone_is_named_too(stated, message):
    with pytest.raises((GemletError, ConfigError), match=message):
        built({"model_type": "gemma4_text"} | stated)


SCALED = {"rope_type": "linear", "factor": 8.0}
GEMMA3 = {  # of the hub's text_config: what they state, in the older keys
    "4B": dict(hidden_size=2560, intermediate_size=10240, num_hidden_layers=34, sliding_window=1024, rope_scaling=SCALED),
    "12B": dict(hidden_size=3840, intermediate_size=15360, num_hidden_layers=48, num_attention_heads=16, num_key_value_heads=8, sliding_window=1024,
                rope_scaling=SCALED),
    "27B": dict(hidden_size=5376, intermediate_size=21504, num_hidden_layers=62, num_attention_heads=32, num_key_value_heads=16, head_dim=128,
                query_pre_attn_scalar=168, sliding_window=1024, rope_scaling=SCALED),
}


@pytest.mark.parametrize("stated", GEMMA3.values(), ids=GEMMA3)
def test_large_gemma3_is_read_with_its_scaled_rope(stated):
    config = built({"model_type": "gemma3", "text_config": stated | {"model_type": "gemma3_text"}, "vision_config": {"hidden_size": 1152}})
    assert (config.rope[GLOBAL].factor, config.rope[SLIDING].factor, config.vocab_size) == (8.0, 1.0, 262208)


EQUAL = {  # how a checkpoint may say that global layers have the head size of the others
    "an empty object": {"per_layer_config": {}},
    "null": {"per_layer_config": None},
    "an equal size": {"global_head_dim": 16},
    "a size of each layer": {"per_layer_config": {"2": {"head_dim": 16}}},
    "no size": {"global_head_dim": None},
}


@pytest.mark.parametrize("stated", EQUAL.values(), ids=EQUAL)
def test_gemma4_with_heads_of_one_size_answers_as_transformers(tmp_path, monkeypatch, stated):
    monkeypatch.setitem(SHAPES, "equal", SHAPES["plain"] | {"global_head_dim": 16})
    folder = make_gemma4(tmp_path / "model", "equal", seed=3)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    config = {key: value for key, value in json.loads((folder / "config.json").read_text()).items() if key not in ("per_layer_config", "global_head_dim")}
    (folder / "config.json").write_text(json.dumps(config | stated))
    lowered = lower_model(open_checkpoint(folder), "f32", None, chunks=(16,))
    ids = [2, *range(7, 47)]
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0, -1].numpy()
    found = TextModel(lowered.config, Products(StoredWeights(lowered.weights))).logits(ids)[0]
    assert abs(found - expected).max() < 2e-3  # the project's bound on logits (tests/browser/test_random_checkpoints.py)


@pytest.mark.parametrize("stated", [{"temperature": "1"}, {"temperature": -1}, {"top_k": 1.5}, {"top_p": math.nan}, {"top_k": []}, {"eos_token_id": {}}])
def test_a_generation_config_is_read_by_type(tmp_path, stated):
    folder = make_gemma3(tmp_path / "model", seed=7)
    (folder / "generation_config.json").write_text(json.dumps(stated))
    with pytest.raises(GemletError, match=rf"generation_config\.json: {next(iter(stated))}: expected"):
        open_checkpoint(folder)
