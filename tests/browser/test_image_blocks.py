"""Images' tokens see each other in the sliding layers of 26B and 31B: made-up images in text, against transformers."""
import numpy as np
import pytest

from tests.browser.test_random_checkpoints import TOLERANCE, prompt
from tests.fixtures.dequantized import dequantized_weights, put_into
from tests.fixtures.gemma4_checkpoints import reference, reference_logits

# Two images side by side, one longer than the window of 24, one of two tokens, text around them.
BLOCKS = [0] * 10 + [1] * 30 + [2] * 6 + [0] * 9 + [3] * 2 + [0] * 3


@pytest.fixture(scope="module")
def case(checkpoints, loaded):
    model = reference(checkpoints("k_is_v"))
    put_into(model, dequantized_weights(checkpoints("k_is_v"), "f16"))
    return loaded("k-is-v-f16"), model


@pytest.mark.parametrize("chunks", [None, [10, 36, 14], [40, 15, 5]], ids=["one-chunk", "image-chunk", "cut-between"])
def test_logits_with_images_equal_the_reference(case, chunks):
    engine, model = case
    ids = prompt()[:len(BLOCKS)]
    expected = reference_logits(model, ids, BLOCKS)[-1]
    assert np.abs(expected - reference_logits(model, ids)[-1]).max() > 10 * TOLERANCE, "the images make no difference"
    assert np.abs(np.array(engine.logits(ids, chunks, BLOCKS)) - expected).max() <= TOLERANCE


def test_images_inside_leave_later_text_causal(case):
    engine, model = case
    ids = prompt()[:len(BLOCKS)]
    assert np.abs(np.array(engine.logits(ids)) - reference_logits(model, ids)[-1]).max() <= TOLERANCE
