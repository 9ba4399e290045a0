"""GGUF files of Gemma 4 say what the checkpoints that they were made from say, and their blocks are kept bit for bit."""

import json

import numpy as np
import pytest
from transformers import Gemma4TextConfig

from compiler import package
from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.tokenizer import special_token_ids, tokenizer_json_from_gguf
from compiler.emit.webgpu import Shader
from compiler.errors import GemletError
from compiler.pipeline import lower_model
from compiler.progress import SilentProgress
from compiler.quantize.choose import choose_format
from compiler.quantize.matrix import EncodedMatrix, decode_matrix
from tests.fixtures.artifact_reader import ArtifactReader
from tests.fixtures.gguf_gemma4 import END_OF_TURN, SHAPES, make_gemma4_for_gguf, write_gemma4_gguf

# What a configuration says about training and about other parts of a model than the text model.
OTHER_KEYS = {"architectures", "dtype", "initializer_range", "transformers_version", "use_cache", "attention_dropout"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Folder by shape, made once."""
    root = tmp_path_factory.mktemp("gemma4")
    made = {}

    def folder(shape):
        if shape not in made:
            made[shape] = make_gemma4_for_gguf(root / shape, shape)
        return made[shape]

    return folder


@pytest.mark.parametrize("shape", SHAPES)
def test_the_config_is_that_of_the_checkpoint(tmp_path, checkpoint, shape):
    write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint(shape))
    found = open_checkpoint(tmp_path / "tiny.gguf").config
    expected = open_checkpoint(checkpoint(shape)).config
    assert found.items() <= expected.items()
    assert expected.keys() - found.keys() <= OTHER_KEYS
    ours, theirs = (Gemma4TextConfig(**config).to_dict() for config in (found, json.loads((checkpoint(shape) / "config.json").read_text())))
    assert {key: value for key, value in ours.items() if key not in OTHER_KEYS} == {
        key: value for key, value in theirs.items() if key not in OTHER_KEYS
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tensors_are_those_of_the_checkpoint(tmp_path, checkpoint, shape):
    write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint(shape))
    found = open_checkpoint(tmp_path / "tiny.gguf").tensors
    expected = open_checkpoint(checkpoint(shape)).tensors
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.shape == expected[name].shape, name
        np.testing.assert_array_equal(tensor.values(), expected[name].values(), err_msg=name)


@pytest.mark.parametrize("shape", ["shared_kv", "experts"])
def test_the_artifact_of_a_q4_0_file_holds_its_weights_bit_for_bit(tmp_path, checkpoint, shape, monkeypatch):
    # Without WGSL, which takes 20 s to make: no weight depends on it.
    monkeypatch.setattr(package, "emit_with_variants", lambda kernel: {
        each.name: Shader("", "main", (1, 1, 1), list(kernel.parameter_names), set()) for each in (kernel, *kernel.variants)})
    held = write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint(shape), "Q4_0")
    opened = open_checkpoint(tmp_path / "tiny.gguf")
    artifact = ArtifactReader(package.compile_model(opened, tmp_path, "tiny", "auto", None, ("webgpu",), None, SilentProgress()))
    lowered = lower_model(opened, "auto", None)
    seen, vectors = set(), {}
    for weight in lowered.weights:
        names = [tensor.name for tensor in weight.tensors]
        seen.update(names)
        if not weight.is_matrix:
            vectors[weight.name] = held[names[0]].reshape(-1)
            continue
        assert weight.format == ("f32" if "router" in weight.name else "q4"), weight.name
        expected = np.concatenate([held[name].reshape(-1, weight.shape[-1]) for name in names])
        np.testing.assert_array_equal(artifact.matrix(weight.name, weight.format, *expected.shape), expected, err_msg=weight.name)
    assert seen == held.keys()
    # A vector has a buffer of its own, or lies in one with others, or both.
    packs = lowered.program.packs
    assert all(name in artifact.buffers or any(name in parts for parts in packs.values()) for name in vectors)
    for name in vectors.keys() & artifact.buffers.keys():
        np.testing.assert_array_equal(artifact.vector(name), vectors[name], err_msg=name)
    for name, parts in packs.items():
        expected = np.concatenate([vectors[part] if isinstance(part, str) else np.array([part], np.float32) for part in parts])
        np.testing.assert_array_equal(artifact.vector(name), np.pad(expected, (0, -len(expected) % 4)), err_msg=name)


def test_the_q6_k_embedding_of_a_q4_0_file_is_stored_in_q8(tmp_path, checkpoint):
    held = write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint("wide"), "Q4_0", embedding="Q6_K")
    tensor = open_checkpoint(tmp_path / "tiny.gguf").tensors["model.embed_tokens.weight"]
    assert tensor.source_format == "Q6_K" and choose_format(["Q6_K"], "auto") == "q8"
    np.testing.assert_array_equal(tensor.values(), held["model.embed_tokens.weight"])
    # Half a step of q8, and what rounding the scale to float16 adds at most: 127 times half its last bit.
    largest = np.abs(held["model.embed_tokens.weight"]).reshape(len(tensor.values()), -1, 32).max(axis=2).repeat(32, axis=1)
    assert (np.abs(round_trip(tensor, "q8") - tensor.values()) <= largest / 127 / 2 + largest * 2.0**-10 + 2.0**-24).all()


def test_k_quants_are_dequantized_as_gguf_does(tmp_path, checkpoint):
    held = write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint("wide"), "Q4_K")
    tensors = open_checkpoint(tmp_path / "tiny.gguf").tensors
    assert {tensor.source_format for tensor in tensors.values()} == {"F32", "Q4_K", "Q5_0"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.values(), held[name], err_msg=name)


def test_the_tokenizer_and_the_ids_that_end_a_turn_are_those_of_gemma_4(tmp_path, checkpoint):
    write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint("experts"))
    opened = open_checkpoint(tmp_path / "tiny.gguf")
    assert opened.generation["eos_token_id"] == [1, END_OF_TURN]
    tokens = special_token_ids(tokenizer_json_from_gguf(opened.gguf_fields, opened.path), opened.generation)
    assert (tokens.bos, tokens.stop, tokens.add_bos) == (2, (1, END_OF_TURN), True)
    assert opened.license.name == "Apache 2.0"


def round_trip(tensor, format_name):
    matrix = EncodedMatrix([tensor], format_name)
    data = b"".join(piece.tobytes() for piece in matrix.data())
    values = decode_matrix(data, matrix.scales().tobytes(), format_name, matrix.rows, matrix.columns)
    return values.reshape(tensor.shape)


@pytest.fixture
def altered(tmp_path, checkpoint):
    """Writes the small model after a change to its metadata (the values of `key`) or to its tensors."""

    def write(change):
        write_gemma4_gguf(tmp_path / "tiny.gguf", checkpoint("shared_kv"), change=change)
        return tmp_path / "tiny.gguf"

    return write


def state(writer, key, value):
    """Replaces a metadata value."""
    writer.kv_data[0].pop(key, None)
    {list: writer.add_array, str: writer.add_string}[type(value)](key, value)


@pytest.mark.parametrize("key", ["attention.sliding_window_pattern", "attention.key_length_swa", "feed_forward_length"])
def test_missing_metadata_is_named(altered, key):
    with pytest.raises(GemletError, match=rf"tiny\.gguf: metadata gemma4\.{key} is missing"):
        open_checkpoint(altered(lambda writer: writer.kv_data[0].pop(f"gemma4.{key}")))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("attention.sliding_window_pattern", [True, False], "expected 5 values, one a layer, found 2"),
        ("attention.head_count", [4, 4, 4, 2, 4], r"expected one value for all layers of a kind, found \[2, 4\]"),
        ("attention.head_count_kv", [1, 2, 1, 1, 2], "found 1 in sliding and 2 in global layers, but V is not K"),
        ("feed_forward_length", [96, 96, 96, 96, 192], r"expected one value for all layers of a kind, found \[96, 192\]"),
        ("feed_forward_length", [96, 96, 96, 288, 288], "expected 96 or twice as much in layers that share KV, found 288"),
        ("rope.scaling.type", "yarn", "expected none, found yarn"),
    ],
)
def test_metadata_that_no_gemma_4_has_is_refused(altered, key, value, message):
    with pytest.raises(GemletError, match=rf"tiny\.gguf: metadata gemma4\.{key}: {message}"):
        open_checkpoint(altered(lambda writer: state(writer, f"gemma4.{key}", value)))


@pytest.mark.parametrize("factors", [[1.0] * 8 + [8.0] * 24, [1e30] * 24 + [1.0] * 8, [2.0] * 32])
def test_rope_factors_that_are_no_proportional_rope_are_refused(altered, factors):
    def change(writer):
        writer.tensors[0]["rope_freqs.weight"].tensor = np.array(factors, np.float32)

    with pytest.raises(GemletError, match=r"tiny\.gguf: tensor rope_freqs\.weight: expected factors of 1, then of 1e30, found"):
        open_checkpoint(altered(change))


def test_a_model_without_rope_factors_is_refused(altered):
    with pytest.raises(GemletError, match=r"tiny\.gguf: tensor rope_freqs\.weight is missing"):
        open_checkpoint(altered(lambda writer: writer.tensors[0].pop("rope_freqs.weight")))


def test_a_v_projection_missing_from_some_global_layers_only_is_refused(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setitem(SHAPES, "own_kv", SHAPES["shared_kv"] | {"num_kv_shared_layers": 0})
    folder = make_gemma4_for_gguf(tmp_path / "folder", "own_kv")
    write_gemma4_gguf(tmp_path / "tiny.gguf", folder, change=lambda writer: writer.tensors[0].pop("blk.4.attn_v.weight"))
    with pytest.raises(GemletError, match=r"tensor blk\.4\.attn_v\.weight is missing, though other global layers"):
        open_checkpoint(tmp_path / "tiny.gguf")


@pytest.mark.parametrize("name", ["v.patch_embd.weight", "a.conv1d.0.weight", "mm.input_projection.weight"])
def test_tensors_of_towers_are_left_out(altered, name):
    path = altered(lambda writer: writer.add_tensor(name, np.ones((2, 32), np.float32)))
    assert name not in {tensor.source_name for tensor in open_checkpoint(path).tensors.values()}


def test_a_tensor_of_another_model_is_refused(altered):
    path = altered(lambda writer: writer.add_tensor("blk.0.laurel_l.weight", np.ones((2, 32), np.float32)))
    with pytest.raises(GemletError, match=r"tensor blk\.0\.laurel_l\.weight is not one of a Gemma 4 text model"):
        open_checkpoint(path)
