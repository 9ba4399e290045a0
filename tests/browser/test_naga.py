"""naga, the WGSL compiler of Firefox, accepts the shaders of models that are compiled with their weights (test_real_shapes.py: of the
others)."""
import json

import pytest

from compiler.default_site import NAME
from tests.fixtures.random_models import MODELS


def test_naga_accepts_the_default_model(native_gpu, default_site):
    assert native_gpu.refusals(default_site / "models" / NAME) == {}


@pytest.mark.parametrize("name", MODELS)
def test_naga_accepts_the_random_models(native_gpu, random_models, name):
    assert native_gpu.refusals(random_models / "models" / name) == {}


def test_what_naga_refuses_is_named(native_gpu, tmp_path):
    kernels = {"good": "@compute @workgroup_size(1) fn main() {}", "bad": "@compute @workgroup_size(1) fn main() { let a: f32 = 1u; }",
               "headless": "fn helper() {}"}
    for name, wgsl in kernels.items():
        (tmp_path / f"{name}.wgsl").write_text(wgsl)
    listed = [{"name": name, "file": f"{name}.wgsl", "entry": "main"} for name in kernels]
    (tmp_path / "model.json").write_text(json.dumps({"kernels": listed}))
    refusals = native_gpu.refusals(tmp_path)
    assert sorted(refusals) == ["bad", "headless"]
    assert "the type of `a`" in refusals["bad"] and "main" in refusals["headless"]
