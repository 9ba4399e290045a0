"""How sampling moves the state on: every word as docs/artifact.md says, through WebGPU."""
import numpy as np
import pytest

from compiler.state import MAX_STOP_TOKENS, OUTPUT_RING, STATE
from tests.fixtures.kernel_inputs import state_words
from tests.fixtures.sampling import run


def full_state(**fields) -> np.ndarray:
    """A state in which every word is told from every other."""
    values = dict(position=40, length=5, generated=3, finished=0, temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, seed=2**32 - 5,
                  stop_count=0, stop=range(1000, 1000 + MAX_STOP_TOKENS), output=range(2000, 2000 + OUTPUT_RING), tokens=range(3000, 3016))
    return state_words(**{**values, **fields})


def advance(gpu, token: int, state: np.ndarray, launches: int = 1) -> np.ndarray:
    """The state after `token` was drawn."""
    logits = np.zeros(2500, np.float32)
    logits[token] = 1000.0
    return run(gpu, logits, state, launches)


def test_words_change_as_documented_and_no_others(gpu):
    before = full_state()
    after = advance(gpu, 1500, before)
    expected = before.copy()
    for field, value in [("position", 45), ("length", 1), ("generated", 4), ("tokens", 1500)]:
        expected[STATE[field]] = value
    expected[STATE["output"] + 3] = 1500
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize(("generated", "place"), [(0, 0), (63, 63), (64, 0), (130, 2)])
def test_tokens_go_round_the_output_ring(gpu, generated, place):
    after = advance(gpu, 77, full_state(generated=generated))
    assert after[STATE["output"] + place] == 77 and after[STATE["generated"]] == generated + 1


def test_draws_one_after_the_other_each_move_on(gpu):
    after = advance(gpu, 77, full_state(), launches=3)
    assert after[STATE["position"]] == 47 and after[STATE["generated"]] == 6 and (after[STATE["output"] + 3 :][:3] == 77).all()


@pytest.mark.parametrize(("stop", "count", "token", "finished"), [
    ([7, 106], 2, 106, 1), ([7, 106], 1, 106, 0), ([7], 0, 7, 0), (list(range(50, 50 + MAX_STOP_TOKENS)), MAX_STOP_TOKENS, 65, 1)])
def test_a_stop_token_within_the_count_finishes(gpu, stop, count, token, finished):
    after = advance(gpu, token, full_state(stop=stop, stop_count=count))
    assert after[STATE["finished"]] == finished


def test_finished_stays_once_set(gpu):
    assert advance(gpu, 3, full_state(finished=1, stop=[9], stop_count=1))[STATE["finished"]] == 1
