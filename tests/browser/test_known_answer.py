"""A kernel that computes something else is found at the first load, survived where another backend is right, and told of."""
import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from compiler.serve import serving
from tests.browser.test_wasm_page import PATIENCE, row
from tests.fixtures.gemma4_checkpoints import reference, reference_logits
from tests.fixtures.sites import EnginePage, manifest_of
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers, hook_workers_of_next_page

# SwiftShader passes for a GPU, so that it is chosen first.
AS_GPU = 'Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });'
PROMPT = [2, *range(265, 275)]


def spoil_a_row(folder: Path) -> str:
    """Lets the product behind the MLP, in chunks of a prompt, give 0 in its last row; returns the kernel's name."""
    kernel = next(each for each in manifest_of(folder)["kernels"] if each["name"].startswith("linear_matrix_f32_n64_k96_"))
    path = folder / kernel["file"]
    text = path.read_text()
    spoilt = re.sub(r"= acc\[(\d+)i\];", r"= select(acc[\1i], 0.0f, row[0i] == 63i);", text)
    assert spoilt != text
    path.write_text(spoilt)
    return kernel["name"]


def spoil_modules(folder: Path) -> None:
    """Lets every module read the weights of the manifest's first matrix from a place 128 bytes further on, as a driver that is wrong would."""
    manifest = manifest_of(folder)
    weight = next(each for each in manifest["wasm"]["weights"] if each["name"].endswith("down_proj.weight.data"))
    for piece in weight["pieces"]:
        piece[1] += 128 if piece[1] < 256 else -128
    (folder / "model.json").write_text(json.dumps(manifest))


@pytest.fixture
def spoilt_site(wasm_site, tmp_path):
    """A copy of the small site, to spoil."""
    site = shutil.copytree(wasm_site, tmp_path / "site")
    with serving(site) as address:
        yield site / "models" / MODEL, address


@pytest.fixture
def engine(browser, spoilt_site):
    page = EnginePage(browser, spoilt_site[1])
    hook_workers(page.page, AS_GPU)
    yield page
    page.close()


def failure(engine: EnginePage, options: str = "{}") -> dict:
    return engine.failure(f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/{MODEL}/', {options}))")


def reload(engine: EnginePage) -> None:
    engine.page.reload()
    hook_workers(engine.page, AS_GPU)


@pytest.mark.parametrize("backend", ["webgpu", "wasm"])
def test_a_right_backend_is_checked_once(engine, backend):
    first = engine.load(MODEL, backend=backend)["backend"]
    reload(engine)
    second = engine.load(MODEL, backend=backend)["backend"]
    assert [each["known_answer"]["source"] for each in (first, second)] == ["computed", "remembered"]
    assert first["known_answer"]["check"] == second["known_answer"]["check"] and first["known_answer"]["check"]["right"]


def test_webassembly_takes_over_from_a_kernel_that_is_wrong_in_one_row(engine, spoilt_site, checkpoints):
    spoil_a_row(spoilt_site[0])
    for found in ("", " (found at an earlier load)"):
        backend = engine.load(MODEL, activations="float")["backend"]
        assert backend["name"] == "wasm" and backend["known_answer"]["check"]["right"]
        for words in ("WebGPU (google swiftshader", "does not give the model's known answer", "chunks of ", "expected", "give or take", found):
            assert words in backend["reason"]
        expected = reference_logits(reference(checkpoints("plain")), PROMPT)[-1]
        assert abs(expected - engine.logits(PROMPT)).max() < 2e-3
        reload(engine)


def test_who_asks_for_the_wrong_backend_by_name_is_told_what_came_out(engine, spoilt_site):
    spoil_a_row(spoilt_site[0])
    for _ in range(2):  # what is remembered does not keep it from trying
        told = failure(engine, "{ backend: 'webgpu' }")
        assert told["code"] == "wrong-answers" and "WebGPU (google swiftshader" in told["message"] and "give or take" in told["message"]


def test_webassembly_that_is_wrong_is_refused_where_there_is_nothing_else(engine, spoilt_site):
    spoil_modules(spoilt_site[0])
    told = failure(engine, "{ backend: 'wasm' }")
    assert told["code"] == "wrong-answers" and re.search(r"WebAssembly \(wasm/.*\.wasm, in .*\) does not give the model's known answer", told["message"])


def test_webgpu_takes_over_from_webassembly_that_is_wrong(browser, spoilt_site):
    spoil_modules(spoilt_site[0])
    page = EnginePage(browser, spoilt_site[1])  # without a GPU: WebAssembly comes first
    for words in ("WebAssembly failed: WebAssembly (", "(found at an earlier load)"):
        backend = page.load(MODEL)["backend"]
        assert backend["name"] == "webgpu" and words in backend["reason"] and backend["known_answer"]["check"]["right"]
        page.page.reload()
    page.close()


def test_all_are_named_where_all_are_wrong(engine, spoilt_site):
    spoil_a_row(spoilt_site[0])
    spoil_modules(spoilt_site[0])
    told = failure(engine)
    assert told["code"] == "wrong-answers"
    assert re.search(r"^WebGPU .* known answer.*; WebAssembly cannot take over: WebAssembly .* known answer", told["message"])


def test_the_page_shows_the_outcome_and_what_was_wrong(browser, spoilt_site):
    spoil_a_row(spoilt_site[0])
    page = browser.new_page(viewport={"width": 1180, "height": 860}, bypass_csp=True)  # the hook is a worker of its own text
    page.set_default_timeout(PATIENCE)
    hook_workers_of_next_page(page, AS_GPU)
    page.goto(spoilt_site[1])
    expect(page.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    expect(row(page, "Runs on")).to_contain_text("WebAssembly")
    expect(row(page, "Why there")).to_contain_text("does not give the model's known answer")
    expect(row(page, "Known answer")).to_contain_text(re.compile(r"Right, at most \d+ % of the tolerance off"))
    page.close()


def spoil_a_layer(folder: Path, layer: int) -> None:
    """Lets both backends read another place of a layer's weights."""
    manifest = manifest_of(folder)
    name = f"layers.{layer}.mlp.down_proj.weight.data"
    (buffer,) = [index for index, each in enumerate(manifest["buffers"]) if each["name"] == name]
    for weight in [*manifest["weights"], *manifest["wasm"]["weights"]]:
        if weight.get("buffer") == buffer or weight.get("name") == name:
            for piece in weight["pieces"]:
                piece[1] += 512 if piece[1] < 512 else -512
    (folder / "model.json").write_text(json.dumps(manifest))


SELF_TEST = "async (options) => JSON.parse(JSON.stringify(await engine.selfTest(options)))"


@pytest.mark.parametrize(("backend", "activations"), [("webgpu", "float"), ("wasm", "float"), ("wasm", "int16")])
def test_a_self_test_names_the_first_layer_that_is_wrong(engine, spoilt_site, backend, activations):
    engine.load(MODEL, backend=backend, activations=activations)
    report = engine.page.evaluate(SELF_TEST, {"layers": True})
    assert (report["right"], report["first_wrong_layer"]) == (True, None), report["text"]
    assert [each["right"] for each in report["layers"]] == [True] * 3 and all(each["worst"] for each in report["layers"])
    spoil_a_layer(spoilt_site[0], 1)
    reload(engine)
    engine.load(MODEL, backend=backend, activations=activations, knownAnswer="off")
    report = engine.page.evaluate(SELF_TEST, {"layers": True})
    assert (report["right"], report["check"]["right"], report["first_wrong_layer"]) == (False, False, 1), report["text"]
    assert report["layers"][0]["right"]
    assert "layer 1 is the first that is wrong" in report["text"] and re.search(r"manifest: SHA-256 [0-9a-f]{64}", report["text"])


@pytest.mark.parametrize("backend", ["webgpu", "wasm"])
def test_answers_are_the_same_after_a_self_test(engine, backend):
    engine.load(MODEL, backend=backend)
    before = engine.tokens(PROMPT, 8)
    engine.page.evaluate(SELF_TEST, {"layers": True})
    answer = engine.complete(prompt=[*PROMPT, *before], max_tokens=1, ignore_eos=True, temperature=0)
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] >= len(PROMPT)  # the conversation was put aside and came back
    assert engine.tokens(PROMPT, 8) == before
