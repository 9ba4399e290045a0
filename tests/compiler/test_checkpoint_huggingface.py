"""Hugging Face folders, whole, sharded and damaged."""

import json
import struct

import numpy as np
import pytest
import torch

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.tensor_names import canonical_name
from compiler.errors import GemletError
from tests.fixtures.safetensors_files import GEMMA3, gemma3_model, write_folder

CONFIG = GEMMA3 | {"model_type": "gemma3_text"}
GEMMA4_CONFIG = {"model_type": "gemma4_text", "num_hidden_layers": 2}


@pytest.fixture
def folder(tmp_path):
    gemma3_model().save_pretrained(tmp_path / "Tiny_Gemma 3")
    return tmp_path / "Tiny_Gemma 3"


def test_tensors_are_those_of_the_model_with_one_added_to_norms(folder):
    checkpoint = open_checkpoint(folder)
    expected = gemma3_model().state_dict()
    del expected["lm_head.weight"]  # tied
    assert checkpoint.tensors.keys() == expected.keys()
    for name, values in expected.items():
        added = 1 if name.endswith("norm.weight") else 0
        np.testing.assert_array_equal(checkpoint.tensor(name, tuple(values.shape)).values(), values.numpy() + added)


def test_the_folders_name_becomes_title_and_safe_name(folder):
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.title, checkpoint.name) == ("Tiny_Gemma 3", "tiny_gemma-3")
    assert checkpoint.folder == folder and checkpoint.gguf_fields == {}


def test_shards_are_found_through_their_index(tmp_path, folder):
    sharded = tmp_path / "sharded"
    gemma3_model().save_pretrained(sharded, max_shard_size="40KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    whole, parts = open_checkpoint(folder), open_checkpoint(sharded)
    assert parts.tensors.keys() == whole.tensors.keys()
    for name, tensor in parts.tensors.items():
        np.testing.assert_array_equal(tensor.values(), whole.tensors[name].values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_reads_exactly(tmp_path, dtype):
    values = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    write_folder(tmp_path, {"model.embed_tokens.weight": values}, CONFIG)
    tensor = open_checkpoint(tmp_path).tensors["model.embed_tokens.weight"]
    assert tensor.source_format == {torch.bfloat16: "BF16", torch.float16: "F16"}[dtype]
    np.testing.assert_array_equal(tensor.rows(1, 4), values[1:4].float().numpy())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("language_model.model.embed_tokens.weight", "model.embed_tokens.weight"),
        ("model.language_model.embed_tokens_per_layer.weight", "model.embed_tokens_per_layer.weight"),
        ("model.language_model.layers.3.layer_scalar", "model.layers.3.layer_scalar"),
        ("layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("norm.weight", "model.norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("model.vision_tower.encoder.layers.0.mlp.up_proj.weight", None),
        ("vision_tower.vision_model.post_layernorm.weight", None),
        ("model.audio_tower.layers.0.norm_out.weight", None),
        ("model.embed_vision.embedding_projection.weight", None),
        ("model.embed_audio.embedding_projection.weight", None),
        ("multi_modal_projector.mm_input_projection_weight", None),
    ],
)
def test_names_are_brought_into_the_text_models_form(source, expected):
    assert canonical_name(source) == expected


def test_towers_are_dropped_even_in_types_that_are_not_supported(tmp_path):
    tensors = {
        "model.language_model.norm.weight": torch.ones(4),
        "model.vision_tower.std_scale": torch.ones(4, dtype=torch.float64),
    }
    write_folder(tmp_path, tensors, {"model_type": "gemma4", "text_config": GEMMA4_CONFIG})
    assert list(open_checkpoint(tmp_path).tensors) == ["model.norm.weight"]


def test_gemma4_norms_multiply_by_the_stored_weight(tmp_path):
    write_folder(tmp_path, {"model.norm.weight": torch.full((4,), 0.5)}, GEMMA4_CONFIG)
    np.testing.assert_array_equal(open_checkpoint(tmp_path).tensors["model.norm.weight"].values(), np.float32(0.5))


def test_generation_and_template_come_from_their_own_files_first(folder):
    assert open_checkpoint(folder).generation["eos_token_id"] == [1]
    assert open_checkpoint(folder).chat_template is None
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 106], "top_k": 64, "do_sample": true}')
    (folder / "tokenizer_config.json").write_text('{"chat_template": "from the config"}')
    checkpoint = open_checkpoint(folder)
    assert checkpoint.generation == {"eos_token_id": [1, 106], "bos_token_id": 2, "pad_token_id": 0, "top_k": 64}
    assert checkpoint.chat_template == "from the config"
    templates = [{"name": "tools", "template": "no"}, {"name": "default", "template": "the default one"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert open_checkpoint(folder).chat_template == "the default one"
    (folder / "chat_template.jinja").write_text("from the jinja file")
    assert open_checkpoint(folder).chat_template == "from the jinja file"


def test_a_bare_config_is_a_checkpoint_without_tensors(folder):
    checkpoint = open_checkpoint(folder / "config.json")
    assert checkpoint.tensors == {} and checkpoint.config == open_checkpoint(folder).config
    assert checkpoint.title == "Tiny_Gemma 3"


@pytest.mark.parametrize("content", ["{", "[1]", "\udc80"])
def test_a_config_that_cannot_be_parsed_is_named(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(GemletError, match=r"config\.json: (not valid JSON|expected a JSON object)"):
        open_checkpoint(folder)


def test_a_missing_weight_file_is_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(GemletError, match="or exactly one safetensors file; found none"):
        open_checkpoint(folder)


def test_an_index_that_names_a_missing_shard_is_refused(folder):
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GemletError, match=r"index\.json: names the shard model-00002-of-00002\.safetensors, which"):
        open_checkpoint(folder)


def test_an_index_that_names_a_missing_tensor_is_refused(folder):
    index = {"weight_map": {"model.absent.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(GemletError, match=r"model\.safetensors: tensor model\.absent\.weight is missing"):
        open_checkpoint(folder)


def test_a_safetensors_file_cut_off_anywhere_is_refused(folder):
    file = folder / "model.safetensors"
    data = file.read_bytes()
    for length in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(GemletError, match=r"model\.safetensors: .*(truncated|not a safetensors file)"):
            open_checkpoint(folder)


def test_a_header_that_points_past_the_end_names_the_tensor(tmp_path):
    write_folder(tmp_path, {"model.norm.weight": torch.ones(4)}, CONFIG)
    header = json.dumps({"model.norm.weight": {"dtype": "F32", "shape": [4], "data_offsets": [16, 32]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(GemletError, match=r"model\.safetensors: tensor model\.norm\.weight: its data lies at bytes"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b'{"a": {"dtype": "F32", "shape": [4]}}',
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}}',
    ],
)
def test_a_damaged_header_is_refused(tmp_path, header):
    write_folder(tmp_path, {"model.norm.weight": torch.ones(4)}, CONFIG)
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(GemletError, match=r"model\.safetensors: not a safetensors file: its header cannot be read"):
        open_checkpoint(tmp_path)


def test_a_size_that_does_not_fit_the_shape_is_refused(tmp_path):
    write_folder(tmp_path, {"model.norm.weight": torch.ones(4)}, CONFIG)
    header = b'{"model.norm.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]}}'
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(GemletError, match=r"model\.norm\.weight: shape \(4,\) in F32 takes 16 bytes, the header .* 12"):
        open_checkpoint(tmp_path)


def test_an_unsupported_type_names_the_tensor(tmp_path):
    write_folder(tmp_path, {"model.norm.weight": torch.ones(4, dtype=torch.int8)}, CONFIG)
    with pytest.raises(GemletError, match=r"model\.norm\.weight: type I8 is not supported; expected one of F32"):
        open_checkpoint(tmp_path)
