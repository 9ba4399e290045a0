"""Drawing a token against its twin, and against the softmax that it must follow, through WebGPU."""
import numpy as np
import pytest
from tvm.script import tirx as T

from compiler.kernels import twins
from compiler.kernels.kernel import Kernel, Parameter
from compiler.kernels.sample import hash_with
from compiler.state import OUTPUT_RING
from tests.fixtures.kernel_inputs import normal
from tests.fixtures.sampling import draw, score_bound

VOCABULARIES = (1, 200, 517, 1024, 2500)
# A logit that no noise lifts to where it could be drawn.
FAR_BELOW = -1e4
# Gemma's vocabulary and its blocks; and more blocks than fit into workgroup memory, the last one cut short.
LARGE = [(262144, 512), (65568 + 8, 32)]


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
def test_greedy_takes_the_highest_logit_whatever_else_is_set(gpu, vocabulary):
    logits = normal(np.random.default_rng(vocabulary), vocabulary)
    for fields in (dict(), dict(top_k=3, top_p=0.5, min_p=0.1)):
        assert draw(gpu, logits, temperature=0.0, seed=5, **fields)[0] == np.argmax(logits)


@pytest.mark.parametrize("places", [[3, 5], [31, 32], [255, 256], [1, 1000], [1200, 600, 1900], [2496, 2499]])
def test_greedy_takes_the_lowest_id_among_equal_logits(gpu, places):
    logits = normal(np.random.default_rng(0), 2500)
    logits[places] = 9.0
    assert draw(gpu, logits, temperature=0.0)[0] == min(places)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_all_negative_are_drawn_from(gpu, temperature):
    draw(gpu, normal(np.random.default_rng(1), 2500) - np.float32(500), launches=8, temperature=temperature, seed=3)


@pytest.mark.parametrize(("vocabulary", "block"), LARGE)
def test_a_large_vocabulary_is_drawn_from(gpu, vocabulary, block):
    logits = normal(np.random.default_rng(2), vocabulary) * np.float32(3)
    logits[[vocabulary - 1, vocabulary // 2 + 1]] = 20.0
    assert draw(gpu, logits, block=block, temperature=0.0)[0] == vocabulary // 2 + 1
    logits[vocabulary - 1] = 20.5
    assert draw(gpu, logits, block=block, temperature=0.0)[0] == vocabulary - 1
    logits[[vocabulary - 1, vocabulary // 2 + 1]] = 0.0
    tokens = draw(gpu, logits, launches=2, block=block, temperature=2.0, top_k=64, top_p=0.95, seed=11)
    assert set(tokens) <= set(np.argsort(logits)[-64:])
    draw(gpu, logits, launches=2, block=block, temperature=1.5, seed=11)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(("temperature", "seed", "position", "length"), [(1.0, 0, 0, 1), (0.7, 2**32 - 1, 8000, 16)])
def test_tokens_are_the_twins(gpu, vocabulary, temperature, seed, position, length):
    logits = normal(np.random.default_rng(vocabulary), vocabulary) * np.float32(2)
    draw(gpu, logits, OUTPUT_RING, temperature=temperature, seed=seed, position=position, length=length)


def race(logits: np.ndarray, token: int, rival: int, temperature: float, seed: int) -> tuple[float, float]:
    """The logit of `token` at which it draws level with `rival` for position 1, and how far off float32 may see that."""
    scores = twins.noisy(np.zeros(len(logits)), 1.0, seed, 1)
    level = logits[rival] + temperature * (scores[rival] - scores[token])
    both = logits.copy()
    both[token] = level
    # The bounds of both scores, and a little more, since the logit is rounded and `draw` wants a race to be clear.
    return level, 1.5 * temperature * score_bound(both, temperature, seed, 1)[[token, rival]].sum()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("seed", range(8))
def test_noise_is_the_twins_to_the_last_digits(gpu, temperature, seed):
    # Of two tokens either one wins where its logit is a little above what the twin says is level.
    temperature = float(np.float32(temperature))
    token, rival = np.random.default_rng(seed).permutation(200)[:2]
    logits = np.full(200, FAR_BELOW, np.float32)
    logits[rival] = 0.25
    level, margin = race(logits, token, rival, temperature, seed)
    for logit, winner in [(level + margin, token), (level - margin, rival)]:
        logits[token] = logit
        assert draw(gpu, logits, temperature=temperature, seed=seed)[0] == winner


@pytest.mark.parametrize(("seed", "uniform"), [(22469766, 1 - 2.0**-24), (14721204, 2.0**-24)])
def test_the_most_extreme_noise_is_finite_and_its_token_can_be_drawn(gpu, seed, uniform):
    assert twins.uniform(twins.hash_words(seed, 1, 0)) == uniform
    assert draw(gpu, np.zeros(1, np.float32), temperature=1.0, seed=seed)[0] == 0
    logits = np.full(200, FAR_BELOW, np.float32)
    logits[77] = 0.25
    level, margin = race(logits, 0, 77, 1.0, seed)
    # With the highest noise a token wins from far below the peak.
    assert (level < -14) == (uniform < 0.5)
    for logit, winner in [(level + margin, 0), (level - margin, 77)]:
        logits[0] = logit
        assert draw(gpu, logits, temperature=1.0, seed=seed)[0] == winner


def test_draws_follow_the_softmax(gpu):
    choices, temperature = np.array([3, 31, 32, 60, 100, 127, 128, 199]), 0.7
    logits = np.full(200, FAR_BELOW, np.float32)
    logits[choices] = np.log(np.array([0.3, 0.22, 0.16, 0.12, 0.09, 0.06, 0.03, 0.02], np.float32))
    tokens = np.concatenate([draw(gpu, logits, OUTPUT_RING, temperature=temperature, seed=1234 + run // 8, position=run % 8 * OUTPUT_RING)
                             for run in range(32)])
    counts = (tokens[:, None] == choices).sum(axis=0)
    share = np.exp(logits[choices].astype(np.float64) / temperature)
    expected = len(tokens) * share / share.sum()
    assert counts.sum() == len(tokens) == 2048
    # Chi-square with 7 degrees of freedom exceeds 24.3 once in a thousand times; the seeds are fixed.
    assert ((counts - expected) ** 2 / expected).sum() < 24.3


def test_seed_and_position_each_change_the_draw(gpu):
    first, again, other_seed, other_position = (
        draw(gpu, np.zeros(1024, np.float32), OUTPUT_RING, temperature=1.0, **fields) for fields in
        (dict(seed=1, position=1), dict(seed=1, position=1), dict(seed=2, position=1), dict(seed=1, position=1001)))
    np.testing.assert_array_equal(first, again)
    # Of 64 draws among 1024 tokens, ten equal ones by chance are less likely than 1e-18.
    assert (first == other_seed).sum() < 10 and (first == other_position).sum() < 10


def test_the_way_a_prompt_is_cut_does_not_change_the_draw(gpu):
    logits = normal(np.random.default_rng(0), 2500)
    draws = [draw(gpu, logits, 8, temperature=1.0, seed=9, position=position, length=length) for position, length in [(0, 12), (4, 8), (11, 1)]]
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])
