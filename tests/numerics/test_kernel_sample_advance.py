"""How sampling moves the state on: every word as docs/artifact.md says, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.sample import BLOCK, advance_kernel
from compiler.state import MAX_STOP_TOKENS, OUTPUT_RING, STATE
from tests.fixtures.kernel_inputs import state_words

# The same sizes give the same kernel, which takes longer to build than to run.
advance_kernel = cache(advance_kernel)


def advance(gpu, best: list[float], token: list[int], state: np.ndarray) -> np.ndarray:
    """The state after the kernel; it must be the twin's in every word."""
    kernel = advance_kernel(len(best) * BLOCK)
    arrays = np.array(best, np.float32), np.array(token, np.int32)
    after = gpu.run(kernel, *arrays, state)[-1]
    np.testing.assert_array_equal(after, twins.advance(*arrays, state))
    return after


def full_state(**fields) -> np.ndarray:
    """A state in which every word is told from every other."""
    values = dict(position=40, length=5, generated=3, finished=0, temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, seed=2**32 - 5,
                  stop_count=0, stop=range(1000, 1000 + MAX_STOP_TOKENS), output=range(2000, 2000 + OUTPUT_RING), tokens=range(3000, 3016))
    return state_words(**{**values, **fields})


def test_words_change_as_documented_and_no_others(gpu):
    before = full_state()
    after = advance(gpu, [1.0, 3.0, 2.0], [11, 1500, 2100], before)
    expected = before.copy()
    for field, value in [("position", 45), ("length", 1), ("generated", 4), ("tokens", 1500)]:
        expected[STATE[field]] = value
    expected[STATE["output"] + 3] = 1500
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize(("generated", "place"), [(0, 0), (63, 63), (64, 0), (130, 2)])
def test_tokens_go_round_the_output_ring(gpu, generated, place):
    after = advance(gpu, [1.0], [77], full_state(generated=generated))
    assert after[STATE["output"] + place] == 77 and after[STATE["generated"]] == generated + 1


@pytest.mark.parametrize(("best", "winner"), [([2.0, 5.0, 5.0], 1), ([5.0, 5.0, 4.0], 0), ([-3.0, -2.0, -1.0], 2)])
def test_the_best_block_wins_and_the_first_of_equals(gpu, best, winner):
    tokens = [100, 1100, 2100]
    assert advance(gpu, best, tokens, full_state())[STATE["tokens"]] == tokens[winner]


@pytest.mark.parametrize("winner", [0, 255, 256, 299])
def test_more_blocks_than_threads_are_all_looked_at(gpu, winner):
    best = np.zeros(300)
    best[winner] = 1
    assert advance(gpu, list(best), list(range(5000, 5300)), full_state())[STATE["tokens"]] == 5000 + winner


@pytest.mark.parametrize(("stop", "count", "token", "finished"), [
    ([7, 106], 2, 106, 1), ([7, 106], 1, 106, 0), ([7], 0, 7, 0), (list(range(50, 50 + MAX_STOP_TOKENS)), MAX_STOP_TOKENS, 65, 1)])
def test_a_stop_token_within_the_count_finishes(gpu, stop, count, token, finished):
    after = advance(gpu, [1.0], [token], full_state(stop=stop, stop_count=count))
    assert after[STATE["finished"]] == finished


def test_finished_stays_once_set(gpu):
    assert advance(gpu, [1.0], [3], full_state(finished=1, stop=[9], stop_count=1))[STATE["finished"]] == 1
