"""Penalties, biases and masks against their twins, and that sampling draws by what they leave."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.adjust import MASKED_OUT
from compiler.kernels.sample import LOWEST
from compiler.state import STATE
from tests.fixtures import tolerances
from tests.fixtures.adjusting import adjust, adjustments, mask_of
from tests.fixtures.kernel_inputs import assert_within, normal, state_words
from tests.fixtures.sampling import CpuSampler, GpuSampler

# Vocabulary and block: less than a block, blocks with a short last one, more than a workgroup's threads a block, and Gemma's.
SIZES = [(20, 32), (517, 32), (2500, 32), (1804, 512), (262144, 512)]
NO_MASK = 0x55555555


def random_list(rng: np.random.Generator, vocabulary: int):
    """Tokens, factors and terms, and the words of them."""
    tokens = rng.permutation(vocabulary)[: min(vocabulary, 700)]
    factors = rng.uniform(1.0, 2.0, len(tokens)).astype(np.float32)
    terms = normal(rng, len(tokens)) * np.float32(5)
    return (tokens, factors, terms), adjustments(vocabulary, tokens, factors, terms)


@pytest.mark.parametrize(("vocabulary", "block"), SIZES)
def test_listed_logits_are_the_twins_and_peaks_are_theirs(gpu, vocabulary, block):
    rng = np.random.default_rng(vocabulary)
    logits = normal(rng, vocabulary) * np.float32(4)
    entries, words = random_list(rng, vocabulary)
    # Where the list says so, whatever is in the mask does not count.
    mask = np.full(-(-vocabulary // 32), NO_MASK, np.int32)
    found, peaks = adjust(gpu, logits, words, mask, block)
    tokens, _, terms = entries
    expected = twins.adjust(logits, *entries)
    bound = np.zeros(vocabulary)
    # The quotient, and the sum of it and the term.
    bound[tokens] = (tolerances.DIVISION + tolerances.U) * np.abs(expected[tokens] - terms) + tolerances.U * np.abs(expected[tokens])
    assert_within(found, expected, bound)
    np.testing.assert_array_equal(peaks, twins.block_peaks(found, block))


@pytest.mark.parametrize(("vocabulary", "block"), SIZES)
def test_a_mask_leaves_its_tokens_alone(gpu, vocabulary, block):
    rng = np.random.default_rng(vocabulary)
    logits = normal(rng, vocabulary) - np.float32(3)
    # Some blocks have no token left; the last token, and ones beside and at the ends of a word, are among them.
    allowed = {vocabulary - 1, 0, *(rng.permutation(vocabulary)[: vocabulary // 100])} | {each for each in (31, 32, 63, 64) if each < vocabulary}
    mask = mask_of(vocabulary, allowed)
    found, peaks = adjust(gpu, logits, adjustments(vocabulary, masked=True), mask, block)
    np.testing.assert_array_equal(found, twins.mask(logits, mask))
    np.testing.assert_array_equal(peaks, twins.block_peaks(found, block))
    assert (found > LOWEST).sum() == len(allowed)


def test_a_list_and_a_mask_count_together_and_an_empty_list_changes_nothing(gpu):
    rng = np.random.default_rng(4)
    logits = normal(rng, 2500)
    mask = mask_of(2500, range(100, 200))
    words = adjustments(2500, [150, 300], [1.0, 1.0], [50.0, 90.0], masked=True)
    found, peaks = adjust(gpu, logits, words, mask, 32)
    assert np.argmax(found) == 150 and found[300] == np.float32(MASKED_OUT) and peaks.max() == found[150] > 40
    same, _ = adjust(gpu, logits, adjustments(2500), mask, 32)
    np.testing.assert_array_equal(same, logits)


@pytest.mark.parametrize("fields", [dict(temperature=0.0), dict(temperature=1.0), dict(temperature=1.5, top_k=40), dict(temperature=1.0, top_p=0.999),
                                    dict(temperature=0.05, min_p=0.001)], ids=str)
@pytest.mark.parametrize("allowed", [(7,), (3, 1499), (0, 31, 32, 700, 1800, 2499)], ids=str)
def test_only_tokens_of_the_mask_are_drawn_even_where_top_k_wants_more(gpu, allowed, fields):
    logits = normal(np.random.default_rng(5), 2500) * np.float32(3)
    found, _ = adjust(gpu, logits, adjustments(2500, masked=True), mask_of(2500, allowed), 32)
    device = gpu if isinstance(gpu, CpuSampler) else GpuSampler(gpu)
    after = device.sample(found, state_words(seed=11, **fields), 32, 32)
    drawn = set(after[STATE["output"] : STATE["output"] + 32])
    assert drawn <= set(allowed)
    # Two equally likely tokens of the first 31 are both drawn but once in 2^30 seeds; this one is fixed.
    assert fields["temperature"] < 1 or len(drawn) > 1 or len(allowed) == 1


def test_where_no_token_is_left_the_token_is_the_vocabularys_size(gpu):
    logits = normal(np.random.default_rng(6), 2500)
    found, peaks = adjust(gpu, logits, adjustments(2500, masked=True), mask_of(2500, ()), 32)
    assert (found == np.float32(MASKED_OUT)).all() and (peaks == np.float32(MASKED_OUT)).all()
    device = gpu if isinstance(gpu, CpuSampler) else GpuSampler(gpu)
    for temperature in (0.0, 1.0):
        assert device.sample(found, state_words(temperature=temperature), 1, 32)[STATE["output"]] == 2500
