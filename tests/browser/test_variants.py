"""Variants of kernels in the engine: every choice gives the reference's answers, and what was measured is remembered."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import linear_vector
from compiler.kernels.kernel import PACKED, SOFTWARE, SUBGROUPS
from compiler.schedule import lower_operators
from compiler.serve import serving
from tests.browser.test_engine import PROMPT, TOLERANCE
from tests.fixtures.gemma4_checkpoints import greedy_choices, reference, reference_logits
from tests.fixtures.sites import EnginePage, add_model, add_page, manifest_of

MODEL = "shapes"
CHUNKS_MODEL = "chunks"  # whose products of a chunk have their variants
LONG_PROMPT = [2, *(5 + 7 * i % 300 for i in range(129))]
WIDE = f"{SUBGROUPS} + {SOFTWARE}"  # of chunks of 256
MOST_CONTESTS = 8  # of web/src/webgpu/tuner.ts


@pytest.fixture(scope="module")
def folder(checkpoints, tmp_path_factory):
    """A site with one model, whose products have variants although they are small."""
    site = tmp_path_factory.mktemp("variants")
    add_page(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_vector, "WORTH_OTHER_SHAPES", 0)
        # Kernels that earlier tests made have no variants, and are kept.
        patch.setattr(lower_operators, "linear_vector", cache(linear_vector.linear_vector))
        return add_model(site, checkpoints("plain"), MODEL, "f32")


@pytest.fixture(scope="module")
def chunks_model(folder, checkpoints):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_operators, "WORTH_VARIANTS", 0)
        add_model(folder.parents[1], checkpoints("plain"), CHUNKS_MODEL, "q8")
    return CHUNKS_MODEL


@pytest.fixture(scope="module")
def kernels(folder) -> list[dict]:
    return manifest_of(folder)["kernels"]


@pytest.fixture(scope="module")
def shaders() -> list[str]:
    """Files of shaders that were asked for, in all loads."""
    return []


@pytest.fixture(scope="module")
def engine(browser, folder, shaders):
    with serving(folder.parents[1]) as address:
        page = EnginePage(browser, address)
        page.page.on("request", lambda request: shaders.append(request.url.rsplit("/", 1)[1]) if request.url.endswith(".wgsl") else None)
        yield page
        page.close()


@pytest.fixture(scope="module")
def model(checkpoints):
    return reference(checkpoints("plain"))


def load(engine: EnginePage, model, **options) -> dict:
    """What the engine says about its kernels, after a look at its answers."""
    info = engine.load(MODEL, **options)["backend"]["kernels"]
    assert np.abs(np.array(engine.logits(PROMPT)) - reference_logits(model, PROMPT)[-1]).max() <= TOLERANCE
    tokens = engine.tokens(PROMPT, 24)
    assert tokens == greedy_choices(model, PROMPT, tokens)
    return info


def test_tried_out_once_then_remembered(engine, model, kernels, shaders):
    # On SwiftShader 0.3 s end while the first pipeline is made.
    assert load(engine, model)["tuning"]["source"] == "measured"
    assert set(shaders) > {kernel["file"].rsplit("/", 1)[1] for kernel in kernels}, "no variant was looked at"
    first = load(engine, model, tuning={"milliseconds": 300_000})
    contests = min(MOST_CONTESTS, sum("variants" in kernel for kernel in kernels))
    assert (first["tuning"]["source"], first["tuning"]["kernels"]) == ("measured", contests) and contests > 4
    asked = len(shaders)
    again = load(engine, model)
    assert again == {"counts": first["counts"], "variants": first["variants"], "tuning": {"source": "remembered", "kernels": 0, "milliseconds": 0}}
    assert len(shaders) - asked == len(kernels), "shaders were fetched that nothing runs"


def test_switched_off_every_kernel_runs_as_it_is(engine, model, kernels):
    assert load(engine, model, tuning="off") == {
        "counts": {"main": len(kernels)}, "variants": {}, "tuning": {"source": "off", "kernels": 0, "milliseconds": 0}}


@pytest.mark.parametrize("number", [0, 1])
def test_every_variant_gives_the_references_answers(engine, model, kernels, number):
    chosen = {kernel["name"]: kernel["variants"][number]["name"] for kernel in kernels if len(kernel.get("variants", [])) > number}
    info = load(engine, model, tuning={"variant": number})
    assert info["variants"] == chosen and len(chosen) > 4
    assert info["counts"] == {"main": len(kernels) - len(chosen), "shape": len(chosen)}


def log_probabilities(logits: list[float]) -> np.ndarray:
    values = np.array(logits, np.float64)
    values -= values.max()
    return values - np.log(np.exp(values).sum())


def test_prompts_are_read_by_quads_and_where_asked_for_in_integers(engine, chunks_model):
    counts, found = {}, {}
    for name, options in {"main": dict(tuning="off"), "quads": dict(activations="float"), "integers": dict(activations="int8")}.items():
        # Without time to measure: what is taken then is taken for what it requires.
        counts[name] = engine.load(chunks_model, **({"tuning": {"milliseconds": 1e-3}} | options))["backend"]["kernels"]["counts"]
        found[name] = [log_probabilities(engine.logits(LONG_PROMPT[:length])) for length in (17, 61, len(LONG_PROMPT))]
    assert {name: sorted(each) for name, each in counts.items()} == {
        "main": ["main"], "quads": ["main", SUBGROUPS, WIDE], "integers": ["main", PACKED]}
    for main, quads, integers in zip(*found.values()):
        # Other orders of float32 sums.
        assert np.abs(quads - main).max() <= TOLERANCE
        # The project's bound on what rounded activations may cost.
        assert 0 < (np.exp(main) * (main - integers)).sum() <= 0.01
