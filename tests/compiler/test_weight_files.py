"""Which files of a Hugging Face folder are read: those that transformers reads, and what is said of the others."""
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from tests.fixtures.gguf_files import gemma3_tensors, write_gguf
from tests.fixtures.safetensors_files import gemma3_model

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
NORM = "model.norm.weight"
ADAPTER = "model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def folder(tmp_path):
    gemma3_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def older(tmp_path):
    """The shards and the index of another save, which has other weights."""
    gemma3_model(seed=1).save_pretrained(tmp_path / "older", max_shard_size="40KB")
    return tmp_path / "older"


def same_weights(checkpoint, folder) -> bool:
    """Whether the checkpoint's tensors are those that transformers loads from the folder."""
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    added = {name: 1 if name.endswith("norm.weight") else 0 for name in checkpoint.tensors}
    return all(np.array_equal(tensor.values(), reference[name].numpy() + added[name]) for name, tensor in checkpoint.tensors.items())


def test_the_whole_file_is_read_beside_an_index_of_an_older_save(folder, older):
    for file in older.glob("model*"):
        shutil.copy(file, folder)
    checkpoint = open_checkpoint(folder)
    assert {tensor.file.name for tensor in checkpoint.tensors.values()} == {WHOLE} and same_weights(checkpoint, folder)
    assert any(INDEX in note and "left out" in note for note in checkpoint.notes)


def test_an_older_index_whose_shards_are_gone_is_refused_by_both_names(folder, older):
    shutil.copy(older / INDEX, folder)
    with pytest.raises(GemletError, match=rf"{INDEX}: names the shard model-00001-of-\d+\.safetensors, which is missing, and {WHOLE} is there"):
        open_checkpoint(folder)


def test_an_index_of_the_whole_file_alone_is_no_other_save(folder):
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(load_file(folder / WHOLE), WHOLE)}))
    assert open_checkpoint(folder).notes == ()


def test_stale_shards_that_no_index_names_are_left_out(folder, older):
    (older / "model-00001-of-00009.safetensors").write_bytes((folder / WHOLE).read_bytes())
    checkpoint = open_checkpoint(older)
    assert "model-00001-of-00009.safetensors" not in {tensor.file.name for tensor in checkpoint.tensors.values()} and same_weights(checkpoint, older)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "consolidated.safetensors", "consolidated.00.pth", "training_args.bin", "optimizer.pt",
                                  "optimizer.safetensors", "model.fp16.safetensors", "scheduler.pt", "rng_state.pth", "Model.safetensors"])
@pytest.mark.parametrize("sharded", [False, True])
def test_files_beside_the_model_change_nothing(folder, older, name, sharded):
    place = older if sharded else folder
    save_file({NORM: torch.zeros(64)}, place / name)
    checkpoint = open_checkpoint(place)
    assert name not in {tensor.file.name for tensor in checkpoint.tensors.values()} and same_weights(checkpoint, place)


def test_an_adapter_beside_the_model_is_said_to_be_left_out(folder):
    save_file({NORM: torch.zeros(64)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter_model.safetensors is left out" in open_checkpoint(folder).notes[0]


def test_a_single_file_of_another_name_is_the_model(folder):
    (folder / WHOLE).rename(folder / "gemma.safetensors")
    save_file({NORM: torch.zeros(64)}, folder / "consolidated.safetensors")
    assert {tensor.file.name for tensor in open_checkpoint(folder).tensors.values()} == {"gemma.safetensors"}


def test_transformers_weights_names_the_file(folder):
    (folder / WHOLE).rename(folder / "gemma.safetensors")
    save_file({NORM: torch.zeros(64)}, folder / "other.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "gemma.safetensors"}))
    checkpoint = open_checkpoint(folder)
    assert same_weights(checkpoint, folder)
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "../gemma.safetensors"}))
    with pytest.raises(GemletError, match=r"transformers_weights: expected the name of a safetensors file in this folder"):
        open_checkpoint(folder)


INSTEAD = {  # what the folder holds in place of its weights
    "two variants": ({"model.fp16.safetensors": b"", "model.bf16.safetensors": b""}, r"found model\.bf16\.safetensors, model\.fp16\.safetensors\. Of several"),
    "a shard without its index": ({"model-00001-of-00002.safetensors": b""}, rf"{INDEX} is missing, .* shards model-00001-of-00002\.safetensors"),
    "PyTorch's file": ({"pytorch_model.bin": b"PK"}, r"found none\. There is pytorch_model\.bin, in PyTorch's own format\. .*save_pretrained"),
    "PyTorch's shards": ({"pytorch_model-00001-of-00002.bin": b"", "pytorch_model.bin.index.json": b"{}"}, r"There is pytorch_model-00001"),
    "GGUF": ({"gemma-q4.gguf": b""}, r"There is a GGUF model beside the config\.json: gemma-q4\.gguf\. Give that file"),
    "an original": ({"consolidated.safetensors": b""}, r"There is consolidated\.safetensors, in the form of the model's authors"),
    "Keras": ({"tf_model.h5": b""}, r"There is tf_model\.h5, which is no checkpoint that can be read"),
    "an adapter": ({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}, r"this is an adapter \(LoRA\) for a model, .*merge_and_unload"),
    "nothing": ({}, "found none"),
}


@pytest.mark.parametrize(("files", "message"), INSTEAD.values(), ids=INSTEAD)
def test_a_folder_without_weights_says_what_it_holds(folder, files, message):
    (folder / WHOLE).unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(GemletError, match=message):
        open_checkpoint(folder)


def test_an_adapters_folder_without_a_config_is_called_one(tmp_path):
    save_file({ADAPTER: torch.zeros(2, 2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    for path in (tmp_path, tmp_path / "adapter_config.json"):
        with pytest.raises(GemletError, match=r"this is an adapter \(LoRA\).*adapter_config\.json, adapter_model\.safetensors"):
            open_checkpoint(path)


def test_a_file_with_weights_alone_is_answered_with_its_folder(folder):
    with pytest.raises(GemletError, match="a file with weights alone. Give its folder"):
        open_checkpoint(folder / WHOLE)


@pytest.mark.parametrize("shard", ["../other/model.safetensors", "/etc/passwd", "sub/../../model.safetensors", "model.bin", 3, None, "a\\b.safetensors", ["x"]])
def test_an_index_names_files_of_its_folder_alone(older, shard):
    (older / INDEX).write_text(json.dumps({"weight_map": {NORM: shard}}))
    with pytest.raises(GemletError, match=rf"{INDEX}: weight_map\.{NORM}: expected the name of a safetensors file in this folder"):
        open_checkpoint(older)


def test_a_tensor_in_two_shards_is_refused(older):
    shards = sorted(older.glob("*.safetensors"))
    save_file(load_file(shards[0]) | load_file(shards[1]), shards[1])
    with pytest.raises(GemletError, match=rf"{shards[1].name}: tensor \S+ is also in {shards[0].name}"):
        open_checkpoint(older)


WRAPPED = ["base_model.model.", "module.", "_orig_mod.", "module._orig_mod."]


@pytest.mark.parametrize("prefix", WRAPPED)
def test_what_wraps_all_names_is_taken_off(folder, prefix):
    plain = {name: tensor.values() for name, tensor in open_checkpoint(folder).tensors.items()}
    save_file({prefix + name: values for name, values in load_file(folder / WHOLE).items()}, folder / WHOLE)
    found = open_checkpoint(folder).tensors
    assert found.keys() == plain.keys() and all(np.array_equal(found[name].values(), plain[name]) for name in plain)


@pytest.mark.parametrize("prefix", WRAPPED)
def test_what_wraps_some_names_is_refused_with_an_example_of_each(folder, prefix):
    save_file({name if name == NORM else prefix + name: values for name, values in load_file(folder / WHOLE).items()}, folder / WHOLE)
    with pytest.raises(GemletError, match=rf"27 of 28 tensors begin with {prefix.split('.')[0]}\S*, such as \S+, and others do not, such as {NORM}"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", [ADAPTER, "base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight", "model.layers.0.mlp.up_proj.base_layer.weight",
                                  "base_model.model.lm_head.modules_to_save.default.weight", "model.embed_tokens.lora_embedding_A"])
def test_tensors_of_an_adapter_in_the_model_are_refused(folder, name):
    save_file(load_file(folder / WHOLE) | {name: torch.zeros(2, 2)}, folder / WHOLE)
    with pytest.raises(GemletError, match=rf"1 tensors of an adapter \(LoRA\), among them {name}; .*Merge the adapter"):
        open_checkpoint(folder)


NOT_WEIGHTS = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", r"a Git LFS pointer, .*git lfs pull"),
    "a page": (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "an HTML page"),
    "a page in capitals": (b"<HTML>", "an HTML page"),
    "nothing": (b"", "the file is empty"),
    "PyTorch": (b"PK\3\4" + bytes(99), "PyTorch's own format"),
    "big-endian GGUF": (b"GGUF\0\0\0\3" + bytes(99), "a big-endian GGUF file"),
}


@pytest.mark.parametrize(("content", "message"), NOT_WEIGHTS.values(), ids=NOT_WEIGHTS)
def test_what_is_no_weights_file_is_called_by_its_name(folder, tmp_path, content, message):
    (folder / WHOLE).write_bytes(content)
    with pytest.raises(GemletError, match=rf"{WHOLE}: not a safetensors file: {message}"):
        open_checkpoint(folder)
    (tmp_path / "tiny.gguf").write_bytes(content)
    with pytest.raises(GemletError, match=rf"tiny\.gguf: not a GGUF file: {message}"):
        open_checkpoint(tmp_path / "tiny.gguf")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_page_in_place_of_a_configuration_is_called_one(folder, name):
    (folder / name).write_bytes(b"<html>")
    with pytest.raises(GemletError, match=rf"{name}: not \S+ {name}: an HTML page"):
        open_checkpoint(folder)


@pytest.mark.parametrize(("fields", "message"), [
    ({"general.architecture": "clip"}, "clip.*turns images or sound"),
    ({"general.architecture": "gemma3", "general.type": "adapter"}, "adapter"),
    ({"general.architecture": "llama"}, "unknown GGUF architecture 'llama'; expected one of gemma3, gemma4"),
    ({"general.architecture": "gemma3n"}, "unknown GGUF architecture 'gemma3n'"),
    ({"general.architecture": "gemma3", "general.type": "mmproj"}, "turns images or sound"),
    ({"general.architecture": "gemma3", "general.type": "imatrix"}, "general.type is 'imatrix'"),
])
def test_a_gguf_file_of_another_kind_says_what_it_is(tmp_path, fields, message):
    write_gguf(tmp_path / "other.gguf", {"x": np.zeros(32, np.float32)}, fields)
    with pytest.raises(GemletError, match=rf"other\.gguf: .*{message}"):
        open_checkpoint(tmp_path / "other.gguf")


def test_lora_tensors_in_a_gguf_file_are_called_so(tmp_path):
    held = gemma3_tensors() | {"blk.0.attn_q.weight.lora_a": np.zeros((2, 64), np.float32)}
    write_gguf(tmp_path / "tiny.gguf", held)
    with pytest.raises(GemletError, match=r"blk\.0\.attn_q\.weight\.lora_a .*adapter \(LoRA\)"):
        open_checkpoint(tmp_path / "tiny.gguf")
