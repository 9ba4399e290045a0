"""GGUF files of Gemma 4 in the browser against transformers, which computes with the weights that the files stand for."""
import numpy as np
import pytest

from compiler.serve import serving
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.gemma4_checkpoints import VOCABULARY, WINDOW, greedy_choices, reference, reference_logits
from tests.fixtures.gguf_gemma4 import make_gemma4_for_gguf, write_gemma4_gguf
from tests.fixtures.sites import EnginePage, add_model, add_page

TOLERANCE = 2e-3  # as in test_random_checkpoints.py: the project's bound on logits
LONGEST = 2 * WINDOW + 5
LENGTHS = (1, WINDOW - 1, WINDOW + 1, LONGEST)

# Model: shape of the checkpoint, the file's quantization, that of its embedding, and the formats that its matrices must get.
MODELS = {
    "q4-0": ("shared_kv", "Q4_0", None, {"q4"}),
    "k-quant": ("wide", "Q4_K", "Q6_K", {"q8"}),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request, browser, tmp_path_factory):
    """An engine with the model, and the reference with the weights that the artifact stands for."""
    shape, kind, embedding, formats = MODELS[request.param]
    folder = tmp_path_factory.mktemp("gguf")
    checkpoint = make_gemma4_for_gguf(folder / "checkpoint", shape)
    file = folder / f"{request.param}.gguf"
    held = write_gemma4_gguf(file, checkpoint, kind, embedding)
    weights = dequantized_weights(file, "auto")
    if formats == {"q4"}:  # lossless: then these are the file's own weights
        for name, values in held.items():
            np.testing.assert_array_equal(weights[name].reshape(values.shape), values, err_msg=name)
    model = reference(checkpoint)
    put_into(model, weights)
    add_model(folder / "site", file, request.param)
    add_page(folder / "site")
    with serving(folder / "site") as address:
        page = EnginePage(browser, address)
        info = page.load(request.param)
        yield page, model, info
        page.close()


def prompt() -> list[int]:
    return [2, *map(int, np.random.default_rng(5).integers(5, VOCABULARY, LONGEST - 1))]


def test_logits_equal_the_reference_past_the_window(case):
    engine, model, _ = case
    expected = reference_logits(model, prompt())
    for length in LENGTHS:
        found = np.array(engine.logits(prompt()[:length]))
        assert np.abs(found - expected[length - 1]).max() <= TOLERANCE, f"{length} tokens"


def test_16_greedy_tokens_equal_the_reference(case):
    engine, model, _ = case
    for length in (WINDOW - 1, LONGEST):
        answer = engine.tokens(prompt()[:length], 16)
        assert len(answer) == 16 and answer == greedy_choices(model, prompt()[:length], answer), f"{length} tokens"
