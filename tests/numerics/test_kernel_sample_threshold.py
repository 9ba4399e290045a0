"""The threshold of top-k, top-p and min-p against its twin, which sorts, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.sample import LOWEST, threshold_kernel
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import normal, sentinels, state_words

# The same sizes give the same kernel, which takes longer to build than to run.
threshold_kernel = cache(threshold_kernel)

# One; less than a workgroup's threads; beside and beyond a multiple of a block of logits.
VOCABULARIES = (1, 200, 1025)


def random_logits(vocabulary: int) -> np.ndarray:
    return normal(np.random.default_rng(vocabulary), vocabulary) * np.float32(3)


def run(gpu, logits: np.ndarray, **fields) -> float:
    state = state_words(position=7, **fields)
    return gpu.run(threshold_kernel(len(logits)), logits, state, sentinels(1))[-1][0]


def check(gpu, logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> float:
    """Runs the kernel; the threshold must be the twin's, a logit, or near it where min-p decides."""
    actual = run(gpu, logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    expected = twins.threshold(logits, temperature, top_k, top_p, min_p)
    if expected in logits:
        assert actual == np.float32(expected)
    else:
        # log(min_p) to 3 ULP (min_p < 0.5), then a product and a sum.
        peak, shift = abs(float(logits.max())), abs(expected - float(logits.max()))
        assert abs(actual - expected) <= (3 * tolerances.ULP + 2 * tolerances.U) * shift + tolerances.U * (peak + shift)
    return actual


def is_clear(logits: np.ndarray, temperature: float, top_k: int, top_p: float) -> bool:
    """Whether no logit's share is so near to top-p that float32 may count it on either side."""
    ranked = np.sort(logits.astype(np.float64))[::-1][: top_k or None]
    weights = np.exp((ranked - ranked[0]) / temperature)
    reached = np.cumsum(weights)
    error = len(ranked) * tolerances.U * reached[-1] + (weights * tolerances.exponential((ranked - ranked[0]) / temperature)).sum()
    return (np.abs(reached - top_p * reached[-1]) > 2 * error).all()


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("top_k", [1, 5, 64])
def test_top_k_gives_the_kth_logit(gpu, vocabulary, top_k):
    logits = random_logits(vocabulary)
    if top_k < vocabulary:
        assert check(gpu, logits, top_k=top_k) == np.sort(logits)[-top_k]
    else:
        assert check(gpu, logits, top_k=top_k) == np.float32(LOWEST)


@pytest.mark.parametrize("top_k", [200, 201, 2**31 - 1])
def test_top_k_of_the_whole_vocabulary_keeps_every_token(gpu, top_k):
    assert check(gpu, random_logits(200), top_k=top_k) == np.float32(LOWEST)


@pytest.mark.parametrize("top_k", [2, 3, 4])
def test_ties_with_the_last_kept_token_stay(gpu, top_k):
    logits = np.full(300, -1.0, np.float32)
    logits[[7, 100, 299]] = 2.5
    assert check(gpu, logits, top_k=top_k) == (2.5 if top_k < 4 else -1.0)


@pytest.mark.parametrize("vocabulary", VOCABULARIES[1:])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.9), (0.6, 0.5), (1.5, 0.8), (1.0, 1e-6), (1.0, 0.0)])
def test_top_p_keeps_the_fewest_tokens_that_weigh_enough(gpu, vocabulary, temperature, top_p):
    logits = random_logits(vocabulary)
    assert is_clear(logits, temperature, 0, top_p) or top_p == 0
    check(gpu, logits, temperature, top_p=top_p)


@pytest.mark.parametrize(("temperature", "min_p"), [(1.0, 0.05), (0.5, 0.3), (2.0, 1e-4)])
def test_min_p_is_a_share_of_the_most_likely_token(gpu, temperature, min_p):
    check(gpu, random_logits(1025), temperature, min_p=min_p)


@pytest.mark.parametrize(("top_k", "top_p", "min_p"), [(40, 0.9, 0.0), (5, 0.99, 0.0), (40, 0.9, 0.2), (3, 1.0, 1e-3), (64, 0.95, 1e-3)])
def test_the_strictest_of_several_decides(gpu, top_k, top_p, min_p):
    logits = random_logits(1025)
    assert top_p == 1 or is_clear(logits, 0.8, top_k, top_p)
    check(gpu, logits, 0.8, top_k, top_p, min_p)


def test_top_p_weighs_what_top_k_has_left(gpu):
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    # Of all four 0.4 weighs less than 0.55; of the first two it weighs 4/7.
    assert check(gpu, logits, top_p=0.55) == logits[1]
    assert check(gpu, logits, top_k=2, top_p=0.55) == logits[0]


@pytest.mark.parametrize("fields", [dict(temperature=1.0), dict(temperature=0.0, top_k=3, top_p=0.5, min_p=0.1)])
def test_nothing_is_cut_where_all_is_off_or_greedy(gpu, fields):
    assert run(gpu, random_logits(200), **fields) == np.float32(LOWEST)


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_logits_of_one_sign_are_ordered_too(gpu, shift):
    logits = random_logits(200) + np.float32(shift)
    check(gpu, logits, top_k=9)
    check(gpu, logits, top_k=9, top_p=0.7)
