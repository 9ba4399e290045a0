"""RoPE of every type: frequencies are those of transformers, and what is not computed is refused by name."""
from pathlib import Path

import numpy as np
import pytest
from transformers import Gemma3TextConfig, Gemma4TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

from compiler.checkpoint.config import text_config
from compiler.errors import GemletError
from model_defs import FAMILIES
from model_defs.config import ConfigError
from model_defs.rope import TYPES, Rope

FAMILY = {"gemma3_text": (Gemma3TextConfig, Gemma3RotaryEmbedding), "gemma4_text": (Gemma4TextConfig, Gemma4TextRotaryEmbedding)}
SIZES = dict(num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], head_dim=40, max_position_embeddings=4096)
SCALED = {
    "linear": dict(rope_type="linear", factor=8.0, rope_theta=1e6),
    "linear by a fraction": dict(rope_type="linear", factor=2.5, rope_theta=3e5),
    "default": dict(rope_type="default", rope_theta=5e5),
    "default, whose partial factor is not used": dict(rope_type="default", rope_theta=5e5, partial_rotary_factor=0.25),
    "proportional": dict(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25),
    "proportional with a factor": dict(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.7, factor=4.0),
    "proportional, all": dict(rope_type="proportional", rope_theta=1e6),
    "dynamic": dict(rope_type="dynamic", rope_theta=1e4, factor=4.0),
    "llama3": dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=1024),
    "yarn": dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=1024),
    "yarn, all stated": dict(rope_type="yarn", rope_theta=1e6, factor=16.0, original_max_position_embeddings=256, beta_fast=16.0, beta_slow=2.0,
                             mscale=0.7, mscale_all_dim=1.2),
    "yarn with its factor": dict(rope_type="yarn", rope_theta=1e6, factor=16.0, original_max_position_embeddings=256, attention_factor=1.3),
}


def ropes(raw: dict) -> dict[str, Rope]:
    config = text_config(raw, Path("config.json"))
    return FAMILIES[raw["model_type"]].Config.from_dict(config).rope


@pytest.mark.parametrize("family", FAMILY)
@pytest.mark.parametrize("parameters", SCALED.values(), ids=SCALED)
@pytest.mark.parametrize("scaled", ["full_attention", "sliding_attention"])
def test_frequencies_and_their_scale_are_those_of_transformers(family, parameters, scaled):
    plain = dict(rope_type="default", rope_theta=1e4)
    raw = SIZES | {"model_type": family, "rope_parameters": {kind: dict(parameters if kind == scaled else plain) for kind in SIZES["layer_types"]}}
    raw |= {"global_head_dim": 88} if family == "gemma4_text" else {}
    found = ropes(raw)
    config, embedding = FAMILY[family]
    reference = embedding(config(**raw))
    for kind, size in {"sliding_attention": 40, "full_attention": 88 if family == "gemma4_text" else 40}.items():
        # Two libraries' powers in float32, each good to 1 ULP, and, where two frequencies are blended, the roundings of that.
        np.testing.assert_allclose(found[kind].frequencies(size), getattr(reference, f"{kind}_inv_freq").numpy(), rtol=2e-6, atol=0)
        assert found[kind].scale == pytest.approx(getattr(reference, f"{kind}_attention_scaling"), rel=1e-12)
        assert Rope.from_text(found[kind].text) == found[kind]


OLD = {
    "as the hub has the 4B": dict(rope_scaling={"rope_type": "linear", "factor": 8.0}, rope_theta=1e6, rope_local_base_freq=1e4),
    "bases left out": dict(rope_scaling={"rope_type": "linear", "factor": 8.0}),
    "a period": dict(sliding_window_pattern=2, layer_types=None, rope_scaling={"factor": 8.0, "rope_type": "linear"}),
    "both ways": dict(rope_scaling={"rope_type": "linear", "factor": 8.0}, rope_parameters={"full_attention": {"rope_theta": 2e5}, "sliding_attention": None}),
}


@pytest.mark.parametrize("stated", OLD.values(), ids=OLD)
def test_older_keys_scale_global_layers_alone(stated):
    raw = SIZES | {"model_type": "gemma3_text"} | stated
    found = ropes(raw)
    reference = Gemma3RotaryEmbedding(Gemma3TextConfig(**raw))
    assert (found["full_attention"].type, found["full_attention"].factor, found["sliding_attention"].type) == ("linear", 8.0, "default")
    for kind in SIZES["layer_types"]:
        np.testing.assert_allclose(found[kind].frequencies(40), getattr(reference, f"{kind}_inv_freq").numpy(), rtol=2e-6, atol=0)


def test_the_oldest_name_of_the_type_is_read():
    assert ropes(SIZES | {"model_type": "gemma3_text", "rope_scaling": {"type": "linear", "factor": 8.0}})["full_attention"] == Rope("linear", 1e6, factor=8.0)


def test_tables_of_different_ropes_have_different_names():
    found = {ropes(SIZES | {"model_type": "gemma3_text", "rope_parameters": {"full_attention": dict(values)}})["full_attention"]
             for values in SCALED.values()}
    assert len({rope.name for rope in found}) == len(found)


@pytest.mark.parametrize("family", FAMILY)
@pytest.mark.parametrize(("values", "message"), [
    ({"rope_type": "longrope"}, r"`rope_parameters\.full_attention\.rope_type` is 'longrope'; expected one of " + ", ".join(TYPES)),
    ({"rope_type": "axial"}, "is 'axial'; expected one of default"),
    ({"rope_type": "linear"}, r"`rope_parameters\.full_attention\.factor` is None; expected a number above 0"),
    ({"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}, "is 0.5 with rope_type 'linear'"),
    ({"rope_type": "default", "factor": 8.0}, "is 8, which rope_type 'default' does not use"),
    ({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0}, "low_freq_factor` is 4; expected less than"),
])
def test_a_rope_that_is_not_computed_is_refused_by_field(family, values, message):
    kinds = {"full_attention": {"rope_theta": 1e6} | values, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    with pytest.raises(ConfigError, match=message):
        ropes(SIZES | {"model_type": family, "rope_parameters": kinds})


@pytest.mark.parametrize("theta", [None, 0, 0.0, -1e6, float("nan"), float("inf"), "1e6", True, [1e6]])
@pytest.mark.parametrize("family", FAMILY)
def test_a_base_that_makes_no_frequencies_is_refused(family, theta):
    kinds = {"full_attention": {"rope_type": "default", "rope_theta": theta}, "sliding_attention": {"rope_theta": 1e4}}
    with pytest.raises(GemletError, match=r"config\.json: rope_parameters\.full_attention\.rope_theta: expected a number above 0"):
        ropes(SIZES | {"model_type": family, "rope_parameters": kinds})
    if family == "gemma3_text":
        with pytest.raises(GemletError, match=r"config\.json: rope_theta: expected a number above 0"):
            ropes(SIZES | {"model_type": family, "rope_theta": theta})


@pytest.mark.parametrize(("family", "stated", "message"), [
    ("gemma3_text", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, r"rope_parameters\.rope_theta: expected one object for each layer kind"),
    ("gemma4_text", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, r"found rope_theta, rope_type outside of them"),
    ("gemma4_text", {"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, r"rope_parameters\.sliding_attention: expected an object .* found None"),
    ("gemma4_text", {"rope_parameters": {}}, r"rope_parameters\.full_attention: expected an object"),
    ("gemma4_text", {"rope_parameters": []}, r"rope_parameters: expected an object, found \[\]"),
    ("gemma4_text", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, r"rope_scaling: expected nothing"),
    ("gemma3_text", {"rope_parameters": {"full_attention": 3}}, r"rope_parameters\.full_attention: expected an object, found 3"),
    ("gemma3_text", {"rope_scaling": 8}, "rope_scaling: expected an object, found 8"),
    ("gemma3_text", {"rope_scaling": {"rope_type": 1}}, r"rope_scaling\.rope_type: expected a text, found 1"),
    ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": "8"}}, r"rope_scaling\.factor: expected a number above 0"),
    ("gemma3_text", {"rope_local_base_freq": -1}, "rope_local_base_freq: expected a number above 0"),
])
def test_other_forms_are_refused_by_field(family, stated, message):
    with pytest.raises(GemletError, match=message):
        ropes(SIZES | {"model_type": family} | stated)


def test_a_kind_without_layers_needs_no_rope():
    raw = SIZES | {"model_type": "gemma4_text", "layer_types": ["full_attention"] * 2, "rope_parameters": {"full_attention": {"rope_theta": 1e6}}}
    assert ropes(raw) == {"full_attention": Rope("default", 1e6)}
