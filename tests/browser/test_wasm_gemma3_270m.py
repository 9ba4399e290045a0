"""The real Gemma 3 270M on the processor against transformers with the same weights (tests/golden)."""
import numpy as np
import pytest

from compiler.serve import serving
from tests.browser.test_gemma3_270m import GOLDEN
from tests.fixtures.sites import EnginePage
from tests.fixtures.worker_hook import NO_RELAXED_SIMD, hook_workers

CASES = pytest.mark.parametrize("case", GOLDEN, ids=["short", "code", "longer-than-the-window"])
# float: another order of float32 sums, as on WebGPU, on logits of order 20. int16: an activation is off by at most 2^-14 of the largest of its 32, which is
# 2^6 times less than what 8-bit weights are off by; 18 layers add up to a few thousandths.
TOLERANCES = {"float": 1e-3, "int16": 1e-2}


@pytest.fixture(scope="module")
def page(browser, default_site):
    with serving(default_site) as address:
        page = EnginePage(browser, address)
        yield page
        page.close()


@pytest.fixture(scope="module", params=[("int16", 2, "relaxed"), ("int16", 1, "relaxed"), ("float", 2, "simd128"), ("int16", 2, "simd128")],
                ids=lambda each: "-".join(map(str, each)))
def engine(request, page):
    """The page's engine, and the largest error of a logit that its activations allow."""
    activations, threads, simd = request.param
    if (activations, simd) == ("int16", "simd128"):
        hook_workers(page.page, NO_RELAXED_SIMD)
    info = page.load("gemma-3-270m", backend="wasm", activations=activations, threads=threads, tuning="off")
    assert (info["backend"]["name"], info["backend"]["threads"], info["backend"]["module"]["simd"]) == ("wasm", threads, simd)
    return page, TOLERANCES[activations]


@CASES
def test_24_greedy_tokens_equal_the_reference(engine, case):
    assert engine[0].tokens(case["ids"], 24) == case["tokens"]


@CASES
def test_top_5_of_the_last_position_agree(engine, case):
    logits = np.array(engine[0].logits(case["ids"]))
    best = np.argsort(-logits, kind="stable")[:5]
    assert best.tolist() == case["top5"]
    assert np.abs(logits[best] - case["top5_logits"]).max() <= engine[1]


def test_the_module_is_small(page):
    info = page.load("gemma-3-270m", backend="wasm")
    assert info["backend"]["module"]["bytes"] < 1 << 20
