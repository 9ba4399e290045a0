"""GGUF files, whole, split and damaged."""

import struct

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from transformers import Gemma3TextConfig

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.gguf_file import read_gguf_file
from compiler.errors import GemletError
from compiler.pipeline import lower_model
from tests.fixtures.gguf_files import FIELDS, HEAD_DIM, HIDDEN, LAYERS, VOCABULARY, gemma3_tensors, write_gguf

TYPES = {
    "token_embd.weight": "Q8_0",
    "blk.0.attn_q.weight": "Q5_0",
    "blk.0.attn_k.weight": "Q4_0",
    "blk.1.ffn_up.weight": "F16",
}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, gemma3_tensors(), types=TYPES)
    return path


def test_metadata_becomes_a_config_that_transformers_loads(model):
    checkpoint = open_checkpoint(model)
    config = Gemma3TextConfig(**checkpoint.config)
    assert (config.hidden_size, config.vocab_size, config.num_hidden_layers) == (HIDDEN, VOCABULARY, LAYERS)
    assert config.tie_word_embeddings and config.query_pre_attn_scalar == config.head_dim == 32
    assert config.rms_norm_eps == 1e-6
    assert config.rope_parameters["sliding_attention"] == {"rope_type": "default", "rope_theta": 10_000.0}
    assert config.rope_parameters["full_attention"] == {"rope_type": "default", "rope_theta": 1_000_000.0}
    assert (checkpoint.name, checkpoint.title) == ("tiny-gemma", "Tiny Gemma")
    assert checkpoint.generation == {"eos_token_id": [1, 7], "bos_token_id": 2, "pad_token_id": 0}
    assert checkpoint.chat_template == "{{ messages }}"
    assert checkpoint.license.name == "Gemma Terms of Use"
    assert checkpoint.gguf_fields["tokenizer.ggml.tokens"] == FIELDS["tokenizer.ggml.tokens"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, "sssssg"),
        (3, "ssgssg"),
        ([True, False, True, False, True, False], "sgsgsg"),
    ],
)
def test_the_pattern_of_layers_is_five_to_one_unless_stated(tmp_path, pattern, expected):
    fields = FIELDS | {"gemma3.block_count": 6}
    if pattern is not None:
        fields["gemma3.attention.sliding_window_pattern"] = pattern
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), fields)
    kinds = open_checkpoint(tmp_path / "tiny.gguf").config["layer_types"]
    assert "".join("g" if kind == "full_attention" else "s" for kind in kinds) == expected


def test_stated_rope_scaling_is_kept_for_global_layers(tmp_path):
    fields = FIELDS | {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), fields)
    rope = open_checkpoint(tmp_path / "tiny.gguf").config["rope_parameters"]
    assert rope["full_attention"] == {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    assert rope["sliding_attention"] == {"rope_type": "default", "rope_theta": 1e4}


@pytest.mark.parametrize(("stated", "factor"), [
    ({"rope.scaling.type": "none", "rope.scaling.factor": 8.0}, None), ({"rope.scaling.factor": 8.0}, 8.0), ({"rope.scale_linear": 4.0}, 4.0),
    ({"rope.scaling.factor": 0.0}, None), ({"rope.scaling.factor": 1.0}, None), ({"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}, 2.0),
])
def test_scaling_is_read_as_llama_cpp_reads_it(tmp_path, stated, factor):
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), FIELDS | {f"gemma3.{key}": value for key, value in stated.items()})
    full = open_checkpoint(tmp_path / "tiny.gguf").config["rope_parameters"]["full_attention"]
    assert (full["rope_type"], full.get("factor")) == ("default" if factor is None else "linear", factor)


@pytest.mark.parametrize(("stated", "message"), [
    ({"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0}, r"gemma3\.rope\.scaling\.type: expected none or linear, found 'yarn'"),
    ({"rope.scaling.type": "linear"}, r"gemma3\.rope\.scaling\.factor is missing"),
    ({"rope.scaling.factor": -8.0}, r"gemma3\.rope\.scaling\.factor: expected a number above 0, found -8"),
    ({"rope.freq_base": 0.0}, r"rope_parameters\.full_attention\.rope_theta|rope\.freq_base"),
    ({"rope.dimension_count": HEAD_DIM // 2}, rf"gemma3\.rope\.dimension_count: expected {HEAD_DIM}, as attention's keys have it, found {HEAD_DIM // 2}"),
    ({"attention.value_length": 8}, rf"gemma3\.attention\.value_length: expected {HEAD_DIM}"),
    ({"attention.head_count_kv": [1, 2]}, r"attention\.head_count_kv: expected one value for all layers of a kind, found \[1, 2\]"),
    ({"attention.head_count_kv": [1]}, r"attention\.head_count_kv: expected 2 values, one a layer, found 1"),
    ({"attention.sliding_window": 0}, r"sliding_window: expected a whole number from 1"),
])
def test_what_is_not_computed_is_refused_by_key(tmp_path, stated, message):
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), FIELDS | {f"gemma3.{key}": value for key, value in stated.items()})
    with pytest.raises(GemletError, match=message):
        lower_model(open_checkpoint(tmp_path / "tiny.gguf"), "q8", None)


def test_equal_values_by_layer_are_one_value(tmp_path):
    lists = {"attention.head_count": [2, 2], "attention.head_count_kv": [1, 1], "feed_forward_length": [96, 96]}
    write_gguf(tmp_path / "lists.gguf", gemma3_tensors(), FIELDS | {f"gemma3.{key}": values for key, values in lists.items()})
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), FIELDS)
    assert open_checkpoint(tmp_path / "lists.gguf").config == open_checkpoint(tmp_path / "tiny.gguf").config


def test_tensors_have_canonical_names_and_the_values_written(model):
    checkpoint = open_checkpoint(model)
    written = gemma3_tensors()
    assert set(checkpoint.tensors) == {
        "model.embed_tokens.weight",
        "model.norm.weight",
        *(
            f"model.layers.{layer}.{name}.weight"
            for layer in range(LAYERS)
            for name in (
                *(f"self_attn.{part}_proj" for part in "qkvo"),
                *(f"self_attn.{part}_norm" for part in "qk"),
                *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
                *(f"{place}_layernorm" for place in ("input", "post_attention", "pre_feedforward", "post_feedforward")),
            )
        ),
    }
    for tensor in checkpoint.tensors.values():
        kind = GGMLQuantizationType[TYPES.get(tensor.source_name, "F32")]
        assert tensor.source_format == kind.name
        expected = dequantize(quantize(written[tensor.source_name], kind), kind)
        np.testing.assert_array_equal(tensor.values(), expected)


def test_norms_are_stored_with_their_one_already_added(model):
    norm = open_checkpoint(model).tensors["model.layers.1.self_attn.k_norm.weight"]
    np.testing.assert_array_equal(norm.values(), gemma3_tensors()["blk.1.attn_k_norm.weight"])


def test_an_output_matrix_unties_the_embedding(tmp_path):
    tensors = gemma3_tensors() | {"output.weight": np.ones((VOCABULARY, HIDDEN), np.float32)}
    write_gguf(tmp_path / "tiny.gguf", tensors)
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    assert checkpoint.config["tie_word_embeddings"] is False
    assert checkpoint.tensor("lm_head.weight", (VOCABULARY, HIDDEN)).values().min() == 1


def test_every_part_of_a_split_model_opens_the_whole(tmp_path, model):
    folder = tmp_path / "split"
    folder.mkdir()
    write_gguf(folder / "tiny", gemma3_tensors(), types=TYPES, parts_of=10)
    parts = sorted(folder.iterdir())
    assert len(parts) == 3
    whole = open_checkpoint(model)
    for opened in (*parts, folder):
        checkpoint = open_checkpoint(opened)
        assert checkpoint.config == whole.config
        assert checkpoint.tensors.keys() == whole.tensors.keys()
        for name, tensor in checkpoint.tensors.items():
            np.testing.assert_array_equal(tensor.values(), whole.tensors[name].values())


def test_a_missing_part_is_named(tmp_path):
    write_gguf(tmp_path / "tiny", gemma3_tensors(), parts_of=10)
    (tmp_path / "tiny-00002-of-00003.gguf").unlink()
    with pytest.raises(GemletError, match=r"tiny-00002-of-00003\.gguf: part 2 of 3 is missing"):
        open_checkpoint(tmp_path / "tiny-00001-of-00003.gguf")


def test_a_part_under_anothers_name_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny", gemma3_tensors(), parts_of=10)
    first = (tmp_path / "tiny-00001-of-00003.gguf").read_bytes()
    (tmp_path / "tiny-00003-of-00003.gguf").write_bytes(first)
    with pytest.raises(GemletError, match=r"00003-of-00003\.gguf: expected split\.no .* \(2, 3\).*found \(0, 3\)"):
        open_checkpoint(tmp_path / "tiny-00001-of-00003.gguf")


def test_a_part_renamed_to_a_whole_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny", gemma3_tensors(), parts_of=10)
    (tmp_path / "tiny-00001-of-00003.gguf").rename(tmp_path / "renamed.gguf")
    with pytest.raises(GemletError, match=r"renamed\.gguf: this is part 1 of 3"):
        open_checkpoint(tmp_path / "renamed.gguf")


def test_a_file_cut_off_anywhere_is_refused(model):
    data = model.read_bytes()
    header_end = read_gguf_file(model).tensors["token_embd.weight"].offset
    for length in (4, 10, 30, 200, header_end // 2, header_end - 100, header_end, len(data) // 2, len(data) - 1):
        model.write_bytes(data[:length])
        with pytest.raises(GemletError, match=r"tiny\.gguf: .*truncated"):
            open_checkpoint(model)


def test_a_file_cut_off_in_its_data_names_the_tensor(model):
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(GemletError, match=r"tiny\.gguf: tensor blk\.1\.post_ffw_norm\.weight: its data ends at"):
        open_checkpoint(model)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\3\4 a zip file"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "tiny.gguf").write_bytes(content)
    with pytest.raises(GemletError, match=r"tiny\.gguf: not a GGUF file"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_an_unknown_version_is_refused(model):
    data = model.read_bytes()
    model.write_bytes(data[:4] + struct.pack("<I", 9) + data[8:])
    with pytest.raises(GemletError, match="GGUF version 9; expected one of"):
        open_checkpoint(model)


def test_an_unknown_architecture_is_refused_with_the_known_ones(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), FIELDS | {"general.architecture": "llama"})
    with pytest.raises(GemletError, match=r"tiny\.gguf: unknown GGUF architecture 'llama'; expected one of gemma3"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_missing_metadata_is_named(tmp_path):
    fields = {key: value for key, value in FIELDS.items() if key != "gemma3.attention.sliding_window"}
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), fields)
    with pytest.raises(GemletError, match=r"metadata gemma3\.attention\.sliding_window is missing"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_an_unsupported_tensor_type_is_named(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors(), types={"blk.1.attn_v.weight": "MXFP4"})
    with pytest.raises(GemletError, match=r"tensor blk\.1\.attn_v\.weight: type MXFP4 is not supported"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_a_tensor_of_another_model_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", gemma3_tensors() | {"blk.0.ssm_in.weight": np.ones((2, 32), np.float32)})
    with pytest.raises(GemletError, match=r"tensor blk\.0\.ssm_in\.weight is not one of a Gemma 3 text model"):
        open_checkpoint(tmp_path / "tiny.gguf")


def test_a_missing_or_misshapen_tensor_is_named_with_what_was_expected(tmp_path):
    tensors = gemma3_tensors()
    del tensors["blk.1.attn_q.weight"]
    write_gguf(tmp_path / "tiny.gguf", tensors)
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    with pytest.raises(GemletError, match=r"layers\.1\.self_attn\.q_proj\.weight is missing; expected .*\(64, 64\)"):
        checkpoint.tensor("model.layers.1.self_attn.q_proj.weight", (64, 64))
    with pytest.raises(GemletError, match=r"blk\.0\.attn_q\.weight has .* expected \(32, 64\), found \(64, 64\)"):
        checkpoint.tensor("model.layers.0.self_attn.q_proj.weight", (32, 64))


def test_a_folder_must_hold_exactly_one_model(tmp_path):
    with pytest.raises(GemletError, match="holds neither config.json nor a .gguf file"):
        open_checkpoint(tmp_path)
    write_gguf(tmp_path / "one.gguf", gemma3_tensors())
    assert open_checkpoint(tmp_path).title == "Tiny Gemma"
    write_gguf(tmp_path / "two.gguf", gemma3_tensors())
    with pytest.raises(GemletError, match=r"holds 2 GGUF models \(one, two\)"):
        open_checkpoint(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(GemletError, match=r"missing\.gguf: no such file or folder"):
        open_checkpoint(tmp_path / "missing.gguf")
