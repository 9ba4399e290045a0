"""Mobile checkpoints: named, unpacked and checked as their config says, or refused by file and tensor."""
import json

import numpy as np
import pytest
import torch

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from tests.fixtures.mobile_tensors import dequantized, packed, random_values
from tests.fixtures.safetensors_files import write_folder

ROWS, COLUMNS = 8, 128
QUANTIZATION = {"quant_method": "gemma", "num_bits": 4, "quantize_embeddings": True, "modules_to_not_convert": ["per_layer_model_projection"],
                "module_quant_configs": {r"language_model\.embed_tokens$": {"num_bits": 2}, r"up_proj$": {"num_bits": 8}}}
CONFIG = {"model_type": "gemma4", "tie_word_embeddings": False, "text_config": {"model_type": "gemma4_text", "num_hidden_layers": 2},
          "quantization_config": QUANTIZATION}
MLP = "model.language_model.layers.0.mlp"
# Module: bits, number of scales a row, its leaf names.
MODULES = {
    f"{MLP}.gate_proj": (4, 1, ("weight", "weight_scale")),
    f"{MLP}.up_proj": (8, 1, ("weight", "weight_scale")),
    "model.language_model.embed_tokens": (2, 2, ("embedding_quantized", "embedding_scale")),
    "lm_head": (4, 1, ("weight", "weight_scale")),
}


def tensors() -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint with the modules above, some that stand beside them, and a norm."""
    made = {}
    for number, (module, (bits, blocks, (values, scales))) in enumerate(MODULES.items()):
        storage = torch.from_numpy(packed(random_values(bits, ROWS, COLUMNS, number), bits).copy())
        made[f"{module}.{values}"] = storage.view(torch.int8) if bits == 8 else storage
        made[f"{module}.{scales}"] = torch.rand(ROWS, blocks, generator=torch.Generator().manual_seed(number))
    made |= {f"{MLP}.gate_proj.input_activation_scale": torch.tensor(0.5), f"{MLP}.gate_proj.output_activation_scale": torch.tensor(0.0),
             f"{MLP}.up_proj.input_activation_scale": torch.tensor(0.25), "model.language_model.layers.0.self_attn.k_cache_scale": torch.tensor(1.0),
             "model.vision_tower.linear.weight": torch.zeros(4, 4, dtype=torch.uint8),
             "model.language_model.per_layer_model_projection.weight": torch.ones(4, 4, dtype=torch.bfloat16),
             "model.language_model.norm.weight": torch.ones(COLUMNS)}
    return made


def opened(folder, changes: dict[str, torch.Tensor | None] | None = None, quantization: dict | None = QUANTIZATION):
    """The checkpoint with some tensors replaced, or left out where None."""
    held = {name: tensor for name, tensor in (tensors() | (changes or {})).items() if tensor is not None}
    write_folder(folder, held, CONFIG | {"quantization_config": quantization})
    return open_checkpoint(folder)


def test_weights_have_canonical_names_and_nothing_beside_them_is_taken_for_one(tmp_path):
    assert opened(tmp_path).tensors.keys() == {
        "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight",
        "model.per_layer_model_projection.weight", "model.norm.weight"}


def test_packed_values_are_read_with_the_bits_and_scales_of_their_module(tmp_path):
    checkpoint, stored = opened(tmp_path), tensors()
    names = ("model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight")
    formats = ("MOBILE_INT4", "MOBILE_INT8", "MOBILE_INT2_64", "MOBILE_INT4")
    for number, (name, source_format, (module, (bits, _, (_, scales)))) in enumerate(zip(names, formats, MODULES.items())):
        tensor = checkpoint.tensor(name, (ROWS, COLUMNS))
        assert tensor.source_format == source_format
        expected = dequantized(random_values(bits, ROWS, COLUMNS, number), stored[f"{module}.{scales}"].numpy())
        np.testing.assert_array_equal(tensor.values(), expected)
        np.testing.assert_array_equal(tensor.rows(3, 5), expected[3:5])


def test_activation_scales_that_are_missing_or_zero_do_not_round(tmp_path):
    found = opened(tmp_path).tensors
    assert found["model.layers.0.mlp.gate_proj.weight"].activation_steps() == (0.5, 0.0)
    assert found["model.layers.0.mlp.up_proj.weight"].activation_steps() == (0.25, 0.0)
    assert found["lm_head.weight"].activation_steps() == (0.0, 0.0)


def test_what_is_not_quantized_is_read_as_it_is(tmp_path):
    found = opened(tmp_path).tensors
    assert found["model.per_layer_model_projection.weight"].source_format == "BF16"
    assert found["model.norm.weight"].source_format == "F32"


GATE = f"{MLP}.gate_proj"


@pytest.mark.parametrize(("changes", "message"), [
    ({f"{GATE}.weight": torch.zeros(ROWS, COLUMNS, dtype=torch.int8)}, r"gate_proj\.weight: type I8, .* expected a matrix of U8, since .* 4 bits"),
    ({f"{MLP}.up_proj.weight": torch.zeros(ROWS, COLUMNS, dtype=torch.uint8)}, r"up_proj\.weight: type U8, .* expected a matrix of I8, since .* 8 bits"),
    ({f"{GATE}.weight": torch.zeros(ROWS, dtype=torch.uint8)}, r"gate_proj\.weight: type U8, shape \(8,\), 8 bytes; expected a matrix"),
    ({f"{GATE}.weight_scale": None}, r"gate_proj\.weight: its scales .*gate_proj\.weight_scale are missing"),
    ({f"{GATE}.weight_scale": torch.ones(ROWS)}, r"gate_proj\.weight_scale: shape \(8,\); expected \(8, blocks\)"),
    ({f"{GATE}.weight_scale": torch.ones(ROWS - 1, 1)}, r"gate_proj\.weight_scale: shape \(7, 1\); expected \(8, blocks\)"),
    ({f"{GATE}.weight_scale": torch.ones(ROWS, 3)}, r"gate_proj\.weight_scale: shape \(8, 3\); .* equal size in the 128 columns"),
    ({f"{GATE}.weight_scale": torch.ones(ROWS, 8)}, r"a scale for 16 columns of 4 bits; kernels need blocks of a multiple of 32"),
    ({"model.language_model.embed_tokens.embedding_scale": torch.ones(ROWS, 4)}, r"a scale for 32 columns of 2 bits; kernels need .* of 64"),
    ({f"{GATE}.weight_scale": torch.ones(ROWS, 1, dtype=torch.int32)}, r"gate_proj\.weight_scale: type I32 is not supported")])
def test_what_does_not_fit_the_config_or_has_no_scales_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(GemletError, match=rf"model\.safetensors: tensor .*{message}"):
        opened(tmp_path, changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_scale_that_is_not_finite_is_refused_with_its_row(tmp_path, value):
    scales = torch.ones(ROWS, 1)
    scales[5] = value
    tensor = opened(tmp_path, {f"{GATE}.weight_scale": scales}).tensors["model.layers.0.mlp.gate_proj.weight"]
    with pytest.raises(GemletError, match=r"model\.safetensors: tensor .*gate_proj\.weight_scale: row 5 holds"):
        tensor.raw_rows(0, ROWS)
    tensor.raw_rows(0, 5)


@pytest.mark.parametrize(("value", "message"), [(-0.5, "an activation scale of -0.5; expected 0 or more"), (float("nan"), "NaN or infinite")])
def test_an_activation_scale_that_is_no_step_is_refused(tmp_path, value, message):
    tensor = opened(tmp_path, {f"{GATE}.input_activation_scale": torch.tensor(value)}).tensors["model.layers.0.mlp.gate_proj.weight"]
    with pytest.raises(GemletError, match=rf"model\.safetensors: tensor .*gate_proj\.input_activation_scale: .*{message}"):
        tensor.activation_steps()


@pytest.mark.parametrize(("quantization", "message"), [
    ({"quant_method": "awq"}, "quant_method 'awq' is not supported; expected 'gemma'"), ([4], r"quant_method \[4\] is not supported"),
    (QUANTIZATION | {"num_bits": 3}, r"num_bits: 3 bits; expected one of \(2, 4, 8\)"),
    (QUANTIZATION | {"module_quant_configs": {"mlp": {"num_bits": 1}}}, r"mlp: 1 bits; expected one of \(2, 4, 8\)")])
def test_another_quantization_is_refused(tmp_path, quantization, message):
    with pytest.raises(GemletError, match=rf"config\.json: quantization_config: {message}"):
        opened(tmp_path, quantization=quantization)


def test_packed_tensors_without_a_quantization_config_are_refused(tmp_path):
    with pytest.raises(GemletError, match="type (I|U)8 is not supported"):
        opened(tmp_path, quantization=None)


def test_a_bare_config_tells_which_modules_are_quantized(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    found = open_checkpoint(tmp_path / "config.json").quantization
    assert found.bits("model.language_model.embed_tokens") == 2
    assert not found.quantizes("model.language_model.per_layer_model_projection")
    assert found.own_name("model.layers.0.mlp.up_proj") == f"{MLP}.up_proj" and found.own_name("lm_head") == "lm_head"
