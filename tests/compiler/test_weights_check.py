"""Tensors without a place are named, and norms that make nothing of their input are refused, before kernels are compiled."""
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from compiler.package import compile_model
from compiler.pipeline import lower_model
from compiler.progress import SilentProgress
from compiler.weights_check import check_norms, left_out
from tests.fixtures.gemma4_checkpoints import make_gemma3, make_gemma4

WHOLE = "model.safetensors"


class Notes(SilentProgress):
    """Keeps what is told, and allows no kernel to be compiled."""

    def __init__(self):
        self.notes: list[str] = []

    def phase(self, title: str, total: int | None, unit: str):
        if title in ("compiling kernels", "compiling WebAssembly"):
            raise KeyboardInterrupt
        return super().phase(title, total, unit)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def folder(tmp_path):
    return make_gemma3(tmp_path / "model", seed=7)


def change(folder, **tensors):
    held = {name: values.clone() for name, values in load_file(folder / WHOLE).items()} | tensors
    save_file(held, folder / WHOLE)


def notes_of(folder, tmp_path) -> list[str]:
    progress = Notes()
    with pytest.raises(KeyboardInterrupt):
        compile_model(open_checkpoint(folder), tmp_path / "out", None, "q8", None, ("webgpu",), None, progress)
    return progress.notes


def test_tensors_without_a_place_are_named(folder, tmp_path):
    assert notes_of(folder, tmp_path) == []
    names = [f"model.layers.0.self_attn.{part}_proj.bias" for part in "qkvo"] + ["model.layers.9.mlp.up_proj.weight"]
    change(folder, **{name: torch.zeros(4) for name in names})
    assert re.search(r"left out: model\.layers\.0\.self_attn\.\w_proj\.bias, .* and 1 more", notes_of(folder, tmp_path)[0])


def test_what_checkpoints_repeat_is_not_told(tmp_path):
    folder = make_gemma4(tmp_path / "model", "shared_kv", seed=7)
    size = {"k_proj.weight": (16, 64), "v_proj.weight": (16, 64), "k_norm.weight": (16,), "rotary_emb.inv_freq": (8,)}
    change(folder, **{f"model.layers.5.self_attn.{name}": torch.ones(shape) for name, shape in size.items()})
    checkpoint = open_checkpoint(folder)
    assert left_out(checkpoint, lower_model(checkpoint, "q8", None, chunks=(16,)).weights) == []


@pytest.mark.parametrize(("value", "message"), [(-1.0, "all 64 factors of the norm are zero;"), (-2.0, "are zero or negative"), (float("nan"), "NaN or infinite")])
@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.2.post_feedforward_layernorm.weight"])
def test_a_norm_that_makes_nothing_of_its_input_is_refused_before_kernels(folder, tmp_path, name, value, message):
    change(folder, **{name: torch.full((64,), value)})  # Gemma 3 adds 1
    with pytest.raises(GemletError, match=rf"{WHOLE}: tensor {name}: .*{message}"):
        compile_model(open_checkpoint(folder), tmp_path / "out", None, "q8", None, ("webgpu",), None, Notes())
    assert not (tmp_path / "out").exists()


def test_single_factors_may_be_negative(folder):
    change(folder, **{"model.norm.weight": torch.tensor([-3.0] * 63 + [1.0])})
    check_norms(lower_model(open_checkpoint(folder), "q8", None, chunks=(16,)).weights)


@pytest.mark.parametrize(("parts", "shape"), [
    (["self_attn.k_proj"], r"\(16, 64\)"), (["self_attn.q_proj"], r"\(64, 64\)"), (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], r"\(64, 64\)"),
    (["mlp.gate_proj", "mlp.up_proj"], r"\(96, 64\)"),
])
def test_a_missing_part_of_a_merged_matrix_is_named_with_its_own_shape(folder, parts, shape):
    held = load_file(folder / WHOLE)
    save_file({name: values for name, values in held.items() if not any(f"layers.1.{part}." in name for part in parts)}, folder / WHOLE)
    with pytest.raises(GemletError, match=rf"tensor model\.layers\.1\.{parts[0]}\.weight is missing; expected shape {shape}\. .* tensors, names like it: model\.layers\.\d\."):
        lower_model(open_checkpoint(folder), "q8", None)


def test_parts_that_only_together_have_the_right_size_are_refused(folder):
    held = load_file(folder / WHOLE)
    q, k = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "qk")
    change(folder, **{q: held[q][:60].clone(), k: torch.cat([held[k], held[k][:4]])})
    with pytest.raises(GemletError, match=r"to be \(96, 64\) together, found .*q_proj\.weight \(60, 64\), .*; expected \(64, 64\) \+ \(16, 64\) \+ \(16, 64\)"):
        lower_model(open_checkpoint(folder), "q8", None)


def test_values_of_configuration_that_make_a_model_of_a_million_layers_are_refused_at_once(folder):
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | {"num_hidden_layers": 1_000_000, "layer_types": None}))
    for path in (folder, folder / "config.json"):
        with pytest.raises(GemletError, match=r"config\.json: num_hidden_layers: expected a whole number from 1 to 128, found 1000000"):
            open_checkpoint(path)


def test_vectors_are_read_as_the_norm_uses_them(folder):
    weights = {weight.name: weight for weight in lower_model(open_checkpoint(folder), "q8", None, chunks=(16,)).weights}
    np.testing.assert_array_equal(weights["norm.weight"].values(), load_file(folder / WHOLE)["model.norm.weight"].numpy() + 1)
