"""Integer matrix kernels whose activations come with steps of their own (Gemma's mobile checkpoints), through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.kernel import HALF, PACKED
from compiler.kernels.linear_matrix import linear_matrix
from compiler.kernels.rounding import Rounding, rounding_table
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within, encode, normal, sentinels, state_words

TOKENS, ROWS = 12, 70


def run(gpu, rounding: Rounding, table: np.ndarray, x: np.ndarray, weight: np.ndarray, format: str) -> tuple[np.ndarray, np.ndarray]:
    """The integer form's Y, and the float32 [N, K] that its weights stand for."""
    buffers, held = encode(weight, format)
    kernel, = (each for each in linear_matrix(len(x), *weight.shape, format, rounding=rounding).variants if each.requires == (PACKED,))
    y = gpu.run(kernel, *buffers, table, x, state_words(length=len(x)), sentinels(len(x), len(weight)))[-1]
    return y, held


@pytest.mark.parametrize("format", ["m2", "m4", "m8", "q4", "m4_32"])
def test_whole_steps_are_taken_as_they_are(gpu, format):
    rng = np.random.default_rng(3)
    # A power of two, so that x / step is exact; within 0.4 of a whole number of steps, some beyond the ends.
    step = 2.0**-5
    x = ((rng.integers(-148, 147, (TOKENS, 160)) + rng.uniform(-0.4, 0.4, (TOKENS, 160))) * step).astype(np.float32)
    y, weight = run(gpu, Rounding(2, True), rounding_table([0, 33], [(step, 0.0)] * 2), x, normal(rng, ROWS, 160), format)
    rounded = twins.round_to(x.astype(np.float64), step)
    assert np.abs(rounded).max() == 128 * step
    assert_within(y, rounded @ weight.astype(np.float64).T, tolerances.product(rounded, weight))


def test_products_are_rounded_to_steps_of_their_own(gpu):
    # Each row picks one value of x, every number is exact: halves go to even, ends are kept.
    counts = np.concatenate([np.arange(-4, 4) + 0.5, [-200, -128.5, -128, -127.5, 126.5, 127, 127.5, 128, 200]])
    x = np.zeros((TOKENS, 64), np.float32)
    x[:, : len(counts)] = counts * 0.25
    for steps in ((0.25, 0.0), (0.25, 0.5)):
        y, weight = run(gpu, Rounding(1, True), rounding_table([0], [steps]), x, np.eye(64, dtype=np.float32), "m2")
        assert (weight == np.eye(64)).all()
        np.testing.assert_array_equal(y, twins.round_to(twins.round_to(x.astype(np.float64), steps[0]), steps[1]))


def test_without_a_step_of_its_own_x_is_rounded_in_groups(gpu):
    rng = np.random.default_rng(4)
    x = normal(rng, TOKENS, 96)
    y, weight = run(gpu, Rounding(1, True), rounding_table([0], [(0.0, 0.0)]), x, normal(rng, ROWS, 96), "m4")
    rounded = twins.int8_activations(x)
    assert_within(y, rounded @ weight.astype(np.float64).T, tolerances.product(rounded, weight))


def test_matrices_that_round_x_apart_have_no_integer_form():
    required = {one: [each.requires for each in linear_matrix(TOKENS, ROWS, 96, "m4", rounding=Rounding(2, one)).variants] for one in (True, False)}
    assert ((PACKED,) in required[True], (PACKED,) in required[False]) == (True, False)
    # float16 has not the digits for the sums of whole steps.
    assert (HALF,) not in required[True] + required[False]
