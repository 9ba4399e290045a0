"""Drawing a token against its twin, and against the softmax that it must follow, through WebGPU."""
from functools import cache

import numpy as np
import pytest
from tvm.script import tirx as T

from compiler.kernels import twins
from compiler.kernels.kernel import Kernel, Parameter
from compiler.kernels.sample import BLOCK, LOWEST, choose_kernel, hash_with
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within, normal, sentinels, state_words

# The same sizes give the same kernel, which takes longer to build than to run.
choose_kernel = cache(choose_kernel)

VOCABULARIES = (1, 200, 1024, 2500)


def draw(gpu, logits: np.ndarray, lowest: float = LOWEST, **fields) -> tuple[np.ndarray, np.ndarray]:
    """Best value and token of each block."""
    blocks = -(-len(logits) // BLOCK)
    empty = np.full(blocks, -7, np.int32)
    return tuple(gpu.run(choose_kernel(len(logits)), logits, state_words(**fields), np.array([lowest], np.float32), sentinels(blocks), empty)[-2:])


def hash_kernel(count: int) -> Kernel:
    """OUT[i] = hash of the three words IN[3 i ...]: the sampler's own hash, laid bare."""

    @T.jit
    def func(IN: T.Buffer((3 * count,), "uint32"), OUT: T.Buffer((count,), "uint32")):
        T.func_attr({"global_symbol": "hash_three", "tirx.noalias": True})
        for block in T.thread_binding(1, thread="blockIdx.x"):
            for tx in T.thread_binding(count, thread="threadIdx.x"):
                key = T.alloc_buffer((1,), "uint32", scope="local")
                key[0] = T.uint32(0)
                for word in T.unroll(3):
                    hash_with(key, IN[tx * 3 + word])
                OUT[block * count + tx] = key[0]

    return Kernel("hash_three", func, (1, 1), (Parameter("IN"), Parameter("OUT", written=True)))


def test_the_hash_is_the_twins_bit_for_bit(gpu):
    words = np.random.default_rng(0).integers(0, 2**32, (256, 3), np.uint32)
    words[:4] = [[0, 0, 0], [2**32 - 1] * 3, [2**31, 1, 2**31], [1, 2, 3]]
    hashed = gpu.run(hash_kernel(256), words, np.zeros(256, np.uint32))[-1]
    np.testing.assert_array_equal(hashed, twins.hash_words(*words.T))
    assert len(np.unique(hashed)) == 256


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_greedy_takes_the_highest_logit_of_each_block(gpu, vocabulary):
    logits = normal(np.random.default_rng(vocabulary), vocabulary)
    best, token = draw(gpu, logits, temperature=0.0, seed=5)
    expected_best, expected_token = twins.choose(logits, 0.0, LOWEST, 5, 1)
    np.testing.assert_array_equal(token, expected_token)
    np.testing.assert_array_equal(best, expected_best.astype(np.float32))


@pytest.mark.parametrize("places", [[3, 5], [255, 256], [1, 1000], [1023, 1024], [1200, 600, 1900]])
def test_greedy_takes_the_lowest_id_among_equal_logits(gpu, places):
    logits = normal(np.random.default_rng(0), 2048)
    logits[places] = 9.0
    best, token = draw(gpu, logits, temperature=0.0)
    for block in set(np.array(places) // BLOCK):
        assert best[block] == 9 and token[block] == min(place for place in places if place // BLOCK == block)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_all_negative_are_drawn_from(gpu, temperature):
    logits = normal(np.random.default_rng(1), 1500) - np.float32(500)
    _, token = draw(gpu, logits, temperature=temperature, seed=3)
    np.testing.assert_array_equal(token, twins.choose(logits, temperature, LOWEST, 3, 1)[1])


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(("temperature", "seed", "position", "length"), [(1.0, 0, 0, 1), (0.7, 2**32 - 1, 4095, 16)])
def test_noise_and_token_are_the_twins(gpu, vocabulary, temperature, seed, position, length):
    logits = normal(np.random.default_rng(vocabulary), vocabulary) * np.float32(2)
    best, token = draw(gpu, logits, temperature=temperature, seed=seed, position=position, length=length)
    # The token is drawn for the position behind the chunk.
    drawn_for = position + length
    expected_best, expected_token = twins.choose(logits, temperature, LOWEST, seed, drawn_for)
    uniform = twins.uniform(twins.hash_words(seed, drawn_for, np.arange(vocabulary)))
    scaled = np.abs(logits.astype(np.float64) / temperature)
    # The temperature is rounded to float32, the quotient good to 2.5 ULP, the sum rounded.
    bound = tolerances.gumbel(uniform) + scaled * (tolerances.DIVISION + tolerances.U) + tolerances.U * (scaled + 20)
    assert (np.abs(best - expected_best) <= bound[expected_token]).all()
    scores = twins.noisy(logits, temperature, seed, drawn_for)
    for block, winner in enumerate(expected_token):
        rivals = np.sort(scores[block * BLOCK : (block + 1) * BLOCK])
        assert len(rivals) == 1 or rivals[-1] - rivals[-2] > 2 * bound.max(), "this seed is too close a race: take another"
        assert token[block] == winner


@pytest.mark.parametrize(("seed", "uniform"), [(22469766, 1 - 2.0**-24), (14721204, 2.0**-24)])
def test_the_most_extreme_noise_is_finite_and_its_token_can_be_drawn(gpu, seed, uniform):
    assert twins.uniform(twins.hash_words(seed, 1, 0)) == uniform
    best, token = draw(gpu, np.zeros(1, np.float32), temperature=1.0, seed=seed)
    assert_within(best, -np.log(-np.log1p(-np.array([uniform]))), tolerances.gumbel(np.array([uniform])))
    assert token[0] == 0


def test_only_logits_of_at_least_the_threshold_take_part(gpu):
    logits = np.full(2048, 5.0, np.float32)
    logits[[17, 1030]] = [5.5, 6.5]
    best, token = draw(gpu, logits, lowest=5.5, temperature=1.0, seed=1)
    np.testing.assert_array_equal(token, [17, 1030])
    best, token = draw(gpu, logits, lowest=6.0, temperature=1.0, seed=1)
    assert token[1] == 1030
    # A block without a candidate loses to every other.
    assert best[0] == np.float32(LOWEST) and token[0] == 2048


def test_draws_follow_the_softmax(gpu):
    # Each block of a large vocabulary holds the same eight tokens (the others are below the threshold), so one launch draws 250 times.
    choices, blocks, launches, temperature = 8, 250, 8, 0.7
    small = np.log(np.array([0.3, 0.22, 0.16, 0.12, 0.09, 0.06, 0.03, 0.02], np.float32))
    logits = np.full((blocks, BLOCK), -1e4, np.float32)
    logits[:, :choices] = small
    counts = np.zeros(choices)
    for launch in range(launches):
        _, token = draw(gpu, logits.reshape(-1), lowest=-100.0, temperature=temperature, seed=1234 + launch // 2, position=launch % 2)
        counts += np.bincount(token % BLOCK, minlength=choices)
    share = np.exp(small.astype(np.float64) / temperature)
    expected = counts.sum() * share / share.sum()
    assert counts.sum() == 2000
    # Chi-square with 7 degrees of freedom exceeds 24.3 once in a thousand times; the seeds are fixed.
    assert ((counts - expected) ** 2 / expected).sum() < 24.3


def test_seed_and_position_each_change_the_draw(gpu):
    logits = np.zeros(100 * BLOCK, np.float32)
    first, again, other_seed, other_position = (
        draw(gpu, logits, temperature=1.0, **fields)[1] for fields in
        (dict(seed=1, position=1), dict(seed=1, position=1), dict(seed=2, position=1), dict(seed=1, position=2)))
    np.testing.assert_array_equal(first, again)
    # Of 100 draws among 1024 tokens, ten equal ones by chance are less likely than 1e-17.
    assert (first == other_seed).sum() < 10 and (first == other_position).sum() < 10


def test_the_way_a_prompt_is_cut_does_not_change_the_draw(gpu):
    logits = normal(np.random.default_rng(0), 3000)
    draws = [draw(gpu, logits, temperature=1.0, seed=9, position=position, length=length)[1] for position, length in [(0, 12), (4, 8), (11, 1)]]
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])
