"""An artifact that is damaged, or that this device cannot run, gives a GemletError that says which file, and the page goes on."""
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.setup.chromium import find_chromium
from tests.fixtures.gemma4_checkpoints import greedy_choices, reference
from tests.fixtures.sites import EnginePage, add_trimmed, manifest_of
from tests.fixtures.static_host import static_host

MODEL = "plain-f32"


@pytest.fixture(scope="module")
def trimmed(site) -> Path:
    return add_trimmed(site / "models" / MODEL)


@pytest.fixture(scope="module")
def page(browser, address):
    page = EnginePage(browser, address)
    yield page
    page.close()


def shard(folder: Path) -> Path:
    return folder / manifest_of(folder)["shards"][0]["file"]


def shader(folder: Path) -> Path:
    return folder / manifest_of(folder)["kernels"][0]["file"]


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    manifest = manifest_of(folder)
    change(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))


# Name of the case: what is done to the folder, the error's code, and what its message holds ({shard}, {shader}: file names).
CASES: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "flipped-bit": (lambda f: flip_one_bit(shard(f)), "bad-artifact", ["{shard}: the shard is damaged: expected SHA-256"]),
    "missing-shard": (lambda f: shard(f).unlink(), "network", ["{shard}: the server answered 404"]),
    "truncated-shard": (lambda f: cut(shard(f), 4), "bad-artifact", ["{shard}: the file has ", " bytes, the manifest states "]),
    "longer-shard": (lambda f: shard(f).write_bytes(shard(f).read_bytes() + bytes(4)), "bad-artifact", ["{shard}: the file is longer than the "]),
    "missing-shader": (lambda f: shader(f).unlink(), "network", ["{shader}: the server answered 404"]),
    "broken-shader": (lambda f: cut(shader(f), 40), "gpu-error", ["does not compile on this GPU: {shader}:"]),
    "newer-schema": (lambda f: edit(f, lambda m: m.update(schema=2)), "bad-artifact",
                     ["model.json: the artifact has schema 2, this engine reads schema 1; update the engine"]),
    "broken-json": (lambda f: cut(f / "model.json", 2), "bad-artifact", ["model.json: not JSON"]),
    "no-manifest": (lambda f: (f / "model.json").unlink(), "network", ["model.json: the server answered 404"]),
    "missing-key": (lambda f: edit(f, lambda m: m.pop("kernels")), "bad-artifact", ['model.json: the key "kernels" is missing']),
    "missing-step": (lambda f: edit(f, lambda m: m["steps"].pop("decode")), "bad-artifact", ['model.json: the step "decode" is missing']),
    "piece-beyond-its-shard": (lambda f: edit(f, lambda m: m["weights"][0]["pieces"][0].__setitem__(1, 1 << 30)), "bad-artifact",
                               ["model.json: weight ", "of a shard of "]),
    "wrong-buffers": (lambda f: edit(f, lambda m: m["steps"]["decode"][0]["buffers"].pop()), "bad-artifact",
                      ["the buffers of a launch do not fit its kernel"]),
    "large-limits": (lambda f: edit(f, lambda m: m["limits"].update(maxStorageBufferBindingSize=1 << 50, maxComputeWorkgroupSizeX=1 << 20)),
                     "device-limits", ["maxStorageBufferBindingSize: needed 1125899906842624, offered ", "maxComputeWorkgroupSizeX: needed 1048576"]),
    "unknown-limit": (lambda f: edit(f, lambda m: m["limits"].update(maxMagic=1)), "device-limits", ["maxMagic: needed 1, offered nothing"]),
    "missing-tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "network", ["tokenizer.json: the server answered 404"]),
    "broken-tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "bad-artifact", ["tokenizer.json: not a tokenizer"]),
    "broken-template": (lambda f: (f / "chat_template.jinja").write_text("{% for %}"), "bad-artifact", ["the chat template does not parse"]),
}


def test_the_artifact_loads_while_it_is_whole(page, trimmed):
    assert page.load("trimmed")["name"] == MODEL


@pytest.mark.parametrize("case", CASES)
def test_a_bad_artifact_is_refused_by_the_name_of_its_file(browser, address, page, trimmed, case):
    damage, code, words = CASES[case]
    if "{shard}" in words[0]:
        page = EnginePage(browser, address)  # another visitor's, since this browser keeps the sound shard
    folder = shutil.copytree(trimmed, trimmed.parent / f"bad-{case}")
    names = {"shard": f"models/bad-{case}/{shard(folder).relative_to(folder)}", "shader": str(shader(folder).relative_to(folder))}
    damage(folder)
    failure = failure_of_loading(page, f"models/bad-{case}/")
    assert (failure["name"], failure["code"]) == ("GemletError", code), failure
    for word in words:
        assert word.format(**names) in failure["message"]


def test_a_model_that_is_not_there_is_named(page):
    failure = failure_of_loading(page, "models/none/")
    assert failure["code"] == "network" and "models/none/model.json: the server answered 404" in failure["message"]


def test_a_sound_model_loads_and_answers_on_the_same_page_after_all_that(page, checkpoints):
    page.load(MODEL)
    prompt = [2, 270, 271, 272]
    answer = page.tokens(prompt, 16)
    assert len(answer) == 16 and answer == greedy_choices(reference(checkpoints("plain")), prompt, answer)


def failure_of_loading(page: EnginePage, folder: str) -> dict:
    return page.failure(f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('{folder}'))")


@pytest.mark.parametrize(("flags", "host", "words"), [
    (["--disable-gpu"], "127.0.0.1", ["this browser has WebGPU but offers no GPU for it. Update the graphics driver", "WebGPU in Chrome and Edge 116 or newer"]),
    (["--host-resolver-rules=MAP plain.test 127.0.0.1"], "plain.test", ["this page came over plain http", "open it by https, or on localhost"]),
], ids=["no adapter", "no secure page"])
def test_a_browser_that_cannot_run_it_says_what_to_do(browser, site, flags, host, words):
    other = browser.browser_type.launch(executable_path=find_chromium(), args=["--no-sandbox", *flags])
    try:
        # Our own server does not answer to that name.
        with static_host(site) as address:
            failure = failure_of_loading(EnginePage(other, address.replace("127.0.0.1", host)), f"models/{MODEL}/")
    finally:
        other.close()
    assert failure["code"] == "no-backend" and all(word in failure["message"] for word in words)
