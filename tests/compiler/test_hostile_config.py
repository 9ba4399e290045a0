"""Numbers of a configuration that no Gemma has are refused by name before anything is built from them."""

import json
from pathlib import Path

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from compiler.pipeline import lower_model
from tests.fuzz import seeds


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_hidden_layers": 10**6}, "num_hidden_layers: expected a whole number from 1 to 128, found 1000000"),
    ({"num_hidden_layers": 129}, "num_hidden_layers: expected a whole number from 1 to 128, found 129"),
    ({"head_dim": 1 << 20}, "head_dim: expected a whole number from 1 to 4096"), ({"global_head_dim": 1 << 20}, "global_head_dim: expected"),
    ({"per_layer_config": {"1": {"head_dim": 1 << 20}}}, r"per_layer_config\.1\.head_dim: expected"),
    ({"per_layer_config": {"9" * 5000: {}}}, "per_layer_config"),
    ({"num_key_value_heads": 3}, "`num_attention_heads` is 2; expected a multiple of `num_key_value_heads`, 3"),
    ({"num_key_value_heads": 1 << 20}, "expected a multiple of `num_key_value_heads`"),
])  # fmt: skip
def test_it_is_refused_in_config_json(tmp_path, changes, message):
    config = seeds.gemma4_config()
    config["text_config"] = {key: value for key, value in config["text_config"].items() if key != "layer_types"} | changes
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(GemletError, match=rf"config\.json: .*{message}"):
        lower_model(open_checkpoint(path), "auto", None)


@pytest.mark.parametrize("layers", [0, 129, 10**6, 2**32 - 1])
def test_it_is_refused_in_gguf_metadata(tmp_path, layers):
    parts = seeds.gguf(4)
    parts.fields["gemma4.block_count"] = seeds.Value("uint32", layers)
    path = Path(tmp_path / "x.gguf")
    path.write_bytes(parts.written())
    with pytest.raises(GemletError, match=rf"x\.gguf: metadata gemma4\.block_count: expected 1 to 128, found {layers}"):
        open_checkpoint(path)


def test_a_whole_number_stands_for_a_float(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(seeds.config() | {"rms_norm_eps": 1, "query_pre_attn_scalar": 8, "final_logit_softcapping": 30}))
    assert lower_model(open_checkpoint(path), "auto", None).program.steps
