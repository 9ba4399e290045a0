"""Whole models in the browser against transformers, on small random checkpoints that have all that real ones have."""
import numpy as np
import pytest

from tests.browser.conftest import MODELS
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.gemma4_checkpoints import VOCABULARY, WINDOW, greedy_choices, reference, reference_logits

# The project's bound on logits: about 1e3 roundings of float32 on values of order 10, in another order than the
# reference's. What is measured is below 1e-4.
TOLERANCE = 2e-3
LONGEST = 3 * WINDOW + 5
LENGTHS = (1, 7, WINDOW - 1, WINDOW, WINDOW + 1, LONGEST)
SPLITS = {7: [[3, 4]], WINDOW + 1: [[16, 9], [1, 24]], LONGEST: [[64, 13], [7, 16, 40, 14], [1, 75, 1]]}


def prompt() -> list[int]:
    return [2, *map(int, np.random.default_rng(11).integers(5, VOCABULARY, LONGEST - 1))]


@pytest.fixture(scope="module", params=MODELS)
def case(request, checkpoints, loaded):
    """An engine with the model, and the reference with the weights that the artifact stands for."""
    shape, quant = MODELS[request.param]
    model = reference(checkpoints(shape))
    put_into(model, dequantized_weights(checkpoints(shape), quant), norm_offset=1.0 if shape == "gemma3" else 0.0)
    return loaded(request.param), model


def test_logits_equal_the_reference_at_every_position(case):
    engine, model = case
    expected = reference_logits(model, prompt())
    for length in range(1, LONGEST + 1):
        found = np.array(engine.logits(prompt()[:length]))
        assert np.abs(found - expected[length - 1]).max() <= TOLERANCE, f"{length} tokens"
        assert found.argmax() == expected[length - 1].argmax(), f"{length} tokens"


def test_logits_do_not_depend_on_how_the_prompt_is_cut(case):
    engine, model = case
    for length, splits in SPLITS.items():
        expected = reference_logits(model, prompt()[:length])[-1]
        for chunks in splits:
            assert np.abs(np.array(engine.logits(prompt()[:length], chunks)) - expected).max() <= TOLERANCE, chunks


def test_32_greedy_tokens_equal_the_reference(case):
    engine, model = case
    for length in LENGTHS:
        answer = engine.tokens(prompt()[:length], 32)
        assert len(answer) == 32 and answer == greedy_choices(model, prompt()[:length], answer), f"{length} tokens"
