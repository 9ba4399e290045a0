"""The real Gemma 3 270M on the processor against transformers with the same weights (tests/golden)."""
import numpy as np
import pytest

from compiler.serve import serving
from tests.browser.test_gemma3_270m import GOLDEN
from tests.fixtures.sites import EnginePage

CASES = pytest.mark.parametrize("case", GOLDEN, ids=["short", "code", "longer-than-the-window"])
# float: another order of float32 sums, as on WebGPU, on logits of order 20. int16: an activation is off by at most 2^-16 of the largest of its 32, which is
# 2^8 times less than what 8-bit weights are off by; 18 layers add up to a few thousandths.
TOLERANCES = {"float": 1e-3, "int16": 1e-2}


@pytest.fixture(scope="module")
def page(browser, default_site):
    with serving(default_site) as address:
        page = EnginePage(browser, address)
        yield page
        page.close()


@pytest.fixture(scope="module", params=[("int16", 2), ("int16", 1), ("float", 2)], ids=lambda each: f"{each[0]}-{each[1]}")
def engine(request, page):
    """The page's engine, and the largest error of a logit that its activations allow."""
    activations, threads = request.param
    info = page.load("gemma-3-270m", backend="wasm", activations=activations, threads=threads)
    assert (info["backend"]["name"], info["backend"]["threads"]) == ("wasm", threads)
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


def divergence(reference: np.ndarray, logits: np.ndarray) -> float:
    """Kullback-Leibler divergence of softmax(logits) from softmax(reference), in nats."""
    p, q = (each - each.max() - np.log(np.exp(each - each.max()).sum()) for each in (reference.astype(np.float64), logits.astype(np.float64)))
    return float((np.exp(p) * (p - q)).sum())


@pytest.mark.parametrize("activations,bound", [("int16", 1e-6), ("int8", 1e-2)])
def test_rounded_activations_diverge_little(page, activations, bound):
    """At 8 places of real text. The bound of int8 is what the model's own 4 to 8-bit weights already cost, as an order; that of int16 is 2^-16 of it, times
    a margin of 6 for few places (an error of 2^-8 as large diverges by its square)."""
    ids = GOLDEN[2]["ids"]
    places = range(16, len(ids) // 2, len(ids) // 16)
    found = {}
    for kind in ("float", activations):
        page.load("gemma-3-270m", backend="wasm", activations=kind)
        found[kind] = [np.array(page.logits(ids[:place])) for place in places]
    assert np.mean([divergence(*pair) for pair in zip(found["float"], found[activations])]) <= bound
