"""Gemma 4's mobile checkpoints in the browser against transformers' own quantized modules, which round the same activations."""
from itertools import product

import numpy as np
import pytest

from compiler.serve import serving
from tests.fixtures.gemma4_checkpoints import greedy_choices, reference_logits
from tests.fixtures.mobile_checkpoints import ANSWER, PROMPT, SHAPES, WINDOW, make_mobile, mobile_reference
from tests.fixtures.sites import EnginePage, add_model, add_page

# As in test_random_checkpoints.py: the project's bound on logits. It holds with rounded activations too, since on these
# tokens no value lies so near the edge between two steps that the order of sums could move it across.
TOLERANCE = 2e-3
LENGTHS = (1, 7, WINDOW - 1, WINDOW, WINDOW + 1, PROMPT, PROMPT + ANSWER)
SPLITS = ([16, 16, 5], [7, 29, 1], [1, 36])


@pytest.fixture(scope="module", params=list(product(SHAPES, ("webgpu", "wasm"))), ids=lambda each: "-".join(each))
def case(request, browser, tmp_path_factory):
    """An engine with the model, the reference, and the tokens that the checkpoint is meant for."""
    shape, backend = request.param
    folder = tmp_path_factory.mktemp("mobile")
    tokens = make_mobile(folder / "checkpoint", shape)
    add_model(folder / "site", folder / "checkpoint", shape, targets=(backend,))
    add_page(folder / "site")
    with serving(folder / "site") as address:
        page = EnginePage(browser, address)
        # Where a module rounds its output but not its input, what WebAssembly's whole numbers round of the input may move a value across the edge of a step.
        page.load(shape, backend=backend, **({"activations": "float"} if (shape, backend) == ("mobile-mixed", "wasm") else {}))
        yield page, mobile_reference(folder / "checkpoint"), tokens
        page.close()


def test_logits_equal_the_reference_past_the_window(case):
    engine, model, tokens = case
    expected = reference_logits(model, tokens)
    for length in LENGTHS:
        found = np.array(engine.logits(tokens[:length]))
        assert np.abs(found - expected[length - 1]).max() <= TOLERANCE, f"{length} tokens"


def test_logits_do_not_depend_on_how_the_prompt_is_cut(case):
    engine, model, tokens = case
    expected = reference_logits(model, tokens[:PROMPT])[-1]
    for chunks in SPLITS:
        assert np.abs(np.array(engine.logits(tokens[:PROMPT], chunks)) - expected).max() <= TOLERANCE, chunks


def test_greedy_tokens_equal_the_reference(case):
    engine, model, tokens = case
    answer = engine.tokens(tokens[:PROMPT], ANSWER)
    assert answer == tokens[PROMPT:] == greedy_choices(model, tokens[:PROMPT], answer)
