"""Whole models on the processor against transformers: the small random checkpoints of test_random_checkpoints.py, with the same bound."""
import numpy as np
import pytest

from compiler.serve import serving
from tests.browser.conftest import MODELS
from tests.browser.test_random_checkpoints import LENGTHS, SPLITS, TOLERANCE, prompt
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.gemma4_checkpoints import greedy_choices, reference, reference_logits
from tests.fixtures.sites import EnginePage, add_model, add_page

# One of each kind: per-layer embeddings, shared caches (so that attention runs in `tail`), one matrix for K and V, several KV heads, experts.
NAMES = ("ple-q8", "shared-kv-q4", "k-is-v-f16", "two-kv-heads-f32", "gemma3-q8", "experts-top8-q4")
# An activation of 16 bits is off by at most 2^-16 of the largest of its group, 256 roundings of float32: as many times the float bound would be 0.5, were all
# at their worst. Of 1e3 independent errors the sum is about 30 times one, not 1e3 times, which leaves a thirtieth of that.
ROUNDED = 2e-2


@pytest.fixture(scope="module")
def wasm_models(checkpoints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wasm_models")
    add_page(folder)
    for name in NAMES:
        shape, quant = MODELS[name]
        add_model(folder, checkpoints(shape), name, quant, targets=("wasm",))
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module", params=NAMES)
def case(request, checkpoints, browser, wasm_models):
    """An engine's page, the model's name, and the reference with the weights that the artifact stands for."""
    shape, quant = MODELS[request.param]
    model = reference(checkpoints(shape))
    put_into(model, dequantized_weights(checkpoints(shape), quant), norm_offset=1.0 if shape == "gemma3" else 0.0)
    page = EnginePage(browser, wasm_models)
    yield page, request.param, model
    page.close()


@pytest.mark.parametrize("activations,tolerance,threads", [("float", TOLERANCE, 2), ("int16", ROUNDED, 2), ("int16", ROUNDED, 1)])
def test_logits_and_greedy_tokens_equal_the_reference(case, activations, tolerance, threads):
    page, name, model = case
    page.load(name, activations=activations, threads=threads)
    expected = reference_logits(model, prompt())
    for length in sorted({*LENGTHS, 15, 16, 17, 63, 64, 65}):
        assert np.abs(np.array(page.logits(prompt()[:length])) - expected[length - 1]).max() <= tolerance, f"{length} tokens"
    for length, splits in SPLITS.items():
        for chunks in splits:
            assert np.abs(np.array(page.logits(prompt()[:length], chunks)) - expected[length - 1]).max() <= tolerance, chunks
    if activations == "float":
        answer = page.tokens(prompt(), 32)
        assert len(answer) == 32 and answer == greedy_choices(model, prompt(), answer)
