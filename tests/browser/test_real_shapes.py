"""All four real models at their full shapes: compiled without weights, and every shader given to the browser and to wgpu.

The browser's own compiler checks the text of every shader when its module is made. The driver's sees it when its pipeline is, which takes up
to two seconds on SwiftShader: so of shaders that differ in numbers alone one gets a pipeline there. wgpu makes every pipeline. All that goes on
in the browser while the next model is compiled, and kernels that models share are taken once. Shaders in float16 are left to wgpu alone
where the browser's adapter has none, as SwiftShader.
"""
import json
import re
from pathlib import Path

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.kernels.kernel import HALF
from compiler.package import compile_model
from compiler.progress import SilentProgress
from tests.fixtures.chromium_gpu import PAGE
from tests.fixtures.native_gpu import with_variants
from tests.fixtures.real_configs import REAL_MODELS, config_path, real_plan

START = """
async ([shaders, maxStorageBuffersPerShaderStage]) => {
  globalThis.outcomes ??= [];
  // All features that there are, since variants require some.
  globalThis.device ??= await (async () => {
    const adapter = await navigator.gpu.requestAdapter();
    return adapter.requestDevice({requiredFeatures: [...adapter.features], requiredLimits: {maxStorageBuffersPerShaderStage}});
  })();
  const errorOf = (info) => info.messages.find(({type}) => type === "error")?.message ?? null;
  for (const [file, entryPoint, code, isNewForm] of shaders) {
    const module = device.createShaderModule({code});
    const outcome = isNewForm
      ? device.createComputePipelineAsync({layout: "auto", compute: {module, entryPoint}}).then(() => null, ({message}) => message)
      : module.getCompilationInfo().then(errorOf);
    outcomes.push(outcome.then((found) => [file, found]));
  }
}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The artifact of each model; `outcomes` fills them."""
    site = tmp_path_factory.mktemp("real_shapes")
    return {model: site / "models" / model for model in REAL_MODELS}


@pytest.fixture(scope="module")
def outcomes(browser, folders) -> dict[str, str | None]:
    """For each shader of all models that its adapter could run: None where the browser takes it, else its message."""
    page = browser.new_page()
    page.route(PAGE, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(PAGE)
    has_half = HALF in page.evaluate("async () => [...(await navigator.gpu.requestAdapter()).features]")
    texts: dict[str, str] = {}
    forms: set[str] = set()
    for model, folder in folders.items():
        compile_model(open_checkpoint(config_path(model)), folder.parents[1], model, "q4", None, ("webgpu",), None, SilentProgress(), weights=False)
        manifest, new = read_manifest(folder), []
        for kernel in with_variants(manifest):
            if HALF in kernel.get("requires", []) and not has_half:
                continue
            text = (folder / kernel["file"]).read_text(encoding="utf-8")
            if kernel["file"] not in texts:
                form = form_of(text.replace(kernel["entry"], "main"))
                new.append([kernel["file"], kernel["entry"], text, form not in forms])
                forms.add(form)
            assert texts.setdefault(kernel["file"], text) == text, "two models have shaders of one name and different text"
        page.evaluate(START, [new, manifest["limits"]["maxStorageBuffersPerShaderStage"]])
    found = dict(page.evaluate("() => Promise.all(outcomes)"))
    page.close()
    assert 50 < len(forms) < len(found) / 2
    return found


def form_of(text: str) -> str:
    """A shader's text without its numbers, but for those that WebGPU limits: threads and memory of a workgroup."""
    return "\n".join(line if "workgroup" in line else re.sub(r"\d+", "0", line) for line in text.splitlines())


def read_manifest(folder: Path) -> dict:
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("model", REAL_MODELS)
def test_the_browser_takes_every_shader(outcomes, folders, model):
    shaders = with_variants(read_manifest(folders[model]))
    files = [shader["file"] for shader in shaders if shader["file"] in outcomes or HALF not in shader.get("requires", [])]
    assert {file: outcomes[file] for file in files} == dict.fromkeys(files)


@pytest.mark.parametrize("model", REAL_MODELS)
def test_naga_accepts_every_shader(outcomes, folders, native_gpu, model):
    assert native_gpu.refusals(folders[model]) == {}


@pytest.mark.parametrize("model", REAL_MODELS)
def test_the_manifest_is_what_plan_says(outcomes, folders, model):
    manifest, plan = read_manifest(folders[model]), real_plan(model)
    assert len({kernel["file"] for kernel in manifest["kernels"]}) == plan["kernels"]
    assert {step: len(launches) for step, launches in manifest["steps"].items()} == plan["launches_per_step"]
    assert manifest["facts"]["parameters"] == plan["parameters"]
    assert sum(buffer["bytes"] for buffer in manifest["buffers"]) == plan["gpu_bytes"][str(manifest["context"])]
    assert manifest["limits"]["maxStorageBufferBindingSize"] == plan["largest_buffer_bytes"]


@pytest.mark.parametrize("model", REAL_MODELS)
def test_without_weights_there_are_kernels_and_a_manifest_only(outcomes, folders, model):
    manifest = read_manifest(folders[model])
    assert (manifest["shards"], manifest["weights"], manifest["tokenizer"]) == ([], [], None)
    assert sorted(path.name for path in folders[model].iterdir()) == ["LICENSE.txt", "model.json", "webgpu"]
    # Nothing that a page could offer.
    assert json.loads((folders[model].parent / "index.json").read_text(encoding="utf-8"))["models"] == []
