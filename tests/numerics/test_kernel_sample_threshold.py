"""Which tokens top-k, top-p and min-p let through: exactly those of the twin, which sorts, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from tests.fixtures.kernel_inputs import normal
from tests.fixtures.sampling import draw, mass_is_clear, seed_for

# One; less than a workgroup's threads; a last block of five; more blocks than there are teams of threads, the last one cut short.
VOCABULARIES = (1, 200, 517, 2500)


def random_logits(vocabulary: int) -> np.ndarray:
    return normal(np.random.default_rng(vocabulary), vocabulary) * np.float32(3)


def check(gpu, logits: np.ndarray, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> np.ndarray:
    """Tokens that may be drawn, by the twin; the kernel must draw the least likely of them, and not the most likely of the others.

    For each there is a seed with which noise puts it before all that are kept. So a threshold that were off by one token,
    up or down, would change a draw.
    """
    settings = dict(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    lowest = twins.threshold(logits, float(np.float32(temperature)), top_k, float(np.float32(top_p)), float(np.float32(min_p)))
    kept, others = np.flatnonzero(logits >= lowest), np.flatnonzero(logits < lowest)
    for token in kept[logits[kept] == logits[kept].min()][:4]:
        assert draw(gpu, logits, seed=seed_for(logits, temperature, token, kept), **settings)[0] == token
    for token in others[logits[others] == logits[others].max(initial=-np.inf)][:4]:
        assert draw(gpu, logits, seed=seed_for(logits, temperature, token, kept), **settings)[0] in kept
    return kept


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("top_k", [1, 5, 64, 100])
def test_top_k_keeps_k_tokens(gpu, vocabulary, top_k):
    # Up to as many tokens as there are blocks (7 and 79) the search starts from the lowest peak.
    assert len(check(gpu, random_logits(vocabulary), 5.0, top_k)) == min(top_k, vocabulary)


@pytest.mark.parametrize("top_k", [200, 201, 2**31 - 1])
def test_top_k_of_the_whole_vocabulary_keeps_every_token(gpu, top_k):
    assert len(check(gpu, random_logits(200), 100.0, top_k)) == 200


@pytest.mark.parametrize(("top_k", "kept"), [(2, 3), (3, 3), (4, 200)])
def test_ties_with_the_last_kept_token_stay(gpu, top_k, kept):
    logits = np.full(200, -1.0, np.float32)
    logits[[7, 100, 199]] = 2.5
    assert len(check(gpu, logits, 5.0, top_k)) == kept


@pytest.mark.parametrize("top_k", [1, 6, 7, 8])
def test_ties_of_all_blocks_peaks_stay(gpu, top_k):
    logits = np.minimum(random_logits(200), np.float32(2))
    logits[3::32] = 2.5
    assert len(check(gpu, logits, 5.0, top_k)) == 7 if top_k < 8 else 8


@pytest.mark.parametrize("near", [2.5, -2.5])
@pytest.mark.parametrize("top_k", range(2, 10))
def test_neighbouring_float32_are_told_apart(gpu, near, top_k):
    # The first block's peak is the highest of all, so the search has the whole range of float32 to halve, to its last step.
    logits = np.full(2500, near - 1, np.float32)
    logits[0] = near + 2
    logits[100:1000:75] = (np.float32(near).view(np.int32) + np.arange(12, dtype=np.int32)).view(np.float32)
    assert len(check(gpu, logits, 5.0, top_k)) == top_k


def test_zeros_of_either_sign_are_equal(gpu):
    logits = np.full(200, -1.0, np.float32)
    logits[[20, 150]] = [-0.0, 0.0]
    assert list(check(gpu, logits, 5.0, top_k=1)) == [20, 150]


@pytest.mark.parametrize("vocabulary", VOCABULARIES[1:])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.9), (0.6, 0.5), (1.5, 0.8), (1.0, 1e-6), (1.0, 0.0)])
def test_top_p_keeps_the_fewest_tokens_that_weigh_enough(gpu, vocabulary, temperature, top_p):
    logits = random_logits(vocabulary)
    kept = check(gpu, logits, temperature, top_p=top_p)
    weights = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    assert weights[kept].sum() >= top_p * weights.sum() > weights[kept].sum() - weights[kept].min() or top_p == 0
    assert len(kept) == 1 or top_p > 1e-6


@pytest.mark.parametrize(("temperature", "min_p"), [(1.0, 0.05), (0.5, 0.3), (2.0, 1e-2), (1.0, 1.0)])
def test_min_p_is_a_share_of_the_most_likely_token(gpu, temperature, min_p):
    logits = random_logits(2500)
    kept = check(gpu, logits, temperature, min_p=min_p)
    assert len(kept) == (np.exp((logits.astype(np.float64) - logits.max()) / temperature) >= min_p).sum()


@pytest.mark.parametrize(("top_k", "top_p", "min_p"), [(40, 0.9, 0.0), (5, 0.99, 0.0), (40, 0.9, 0.2), (3, 1.0, 1e-3), (64, 0.95, 1e-3)])
def test_the_strictest_of_several_decides(gpu, top_k, top_p, min_p):
    check(gpu, random_logits(2500), 0.8, top_k, top_p, min_p)


def test_top_p_weighs_what_top_k_has_left(gpu):
    logits = np.full(200, -1e4, np.float32)
    logits[[90, 5, 170, 60]] = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    # Of all four 0.4 weighs less than 0.55; of the first two it weighs 4/7.
    assert list(check(gpu, logits, 1.0, top_p=0.55)) == [5, 90]
    assert list(check(gpu, logits, 1.0, top_k=2, top_p=0.55)) == [90]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_nothing_is_cut_where_all_is_off(gpu, vocabulary):
    assert len(check(gpu, random_logits(vocabulary), 100.0)) == vocabulary


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_logits_of_one_sign_are_ordered_too(gpu, shift):
    logits = random_logits(200) + np.float32(shift)
    assert len(check(gpu, logits, 5.0, top_k=9)) == 9
    assert mass_is_clear(logits, 5.0, 9, 0.7)
    check(gpu, logits, 5.0, top_k=9, top_p=0.7)
