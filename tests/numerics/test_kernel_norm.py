"""Norm kernels against their twin, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.norm import norm_kernel
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, sentinels

EPS = 1e-6


def check(gpu, tokens: int, width: int, residual: bool = False, input_scale: float = 1.0, output_scale: float | str = 1.0,
          size: float = 1.0) -> None:
    rng = np.random.default_rng(tokens * 1000 + width)
    x, gain, added = normal(rng, tokens, width) * np.float32(size), 1 + normal(rng, width) / 4, normal(rng, tokens, width)
    scale = np.array([0.37], np.float32)
    kernel = norm_kernel(tokens, width, EPS, residual, input_scale, output_scale)
    arrays = [x, gain, *([added] if residual else []), *([scale] if output_scale == "tensor" else []), sentinels(tokens * width + 4)]
    out = gpu.run(kernel, *arrays)[-1]
    assert (out[tokens * width :] == SENTINEL).all()

    after = float(scale[0]) if output_scale == "tensor" else output_scale
    added = added if residual else np.zeros_like(added)
    normed = twins.norm(x, gain, EPS, input_scale=input_scale)
    # The sum is rounded once, the scale after it twice (as a constant, and in the product).
    bound = abs(after) * (tolerances.normed(normed) + 3 * tolerances.U * (np.abs(normed) + np.abs(added)))
    expected = twins.norm(x, gain, EPS, added, input_scale, after)
    assert_within(out[: tokens * width].reshape(tokens, width), expected, bound)


@pytest.mark.parametrize(("tokens", "width"), [(1, 4), (3, 100), (2, 256), (5, 640), (8, 36), (1, 2816)])
def test_rows_are_divided_by_their_root_mean_square(gpu, tokens, width):
    check(gpu, tokens, width)


@pytest.mark.parametrize(("tokens", "width"), [(1, 4), (3, 100), (2, 640)])
@pytest.mark.parametrize("output_scale", [1.0, 2.0**-0.5, "tensor"])
def test_residual_is_added_before_the_scale(gpu, tokens, width, output_scale):
    check(gpu, tokens, width, residual=True, output_scale=output_scale)


def test_scale_without_residual(gpu):
    check(gpu, 2, 36, output_scale=0.25)


@pytest.mark.parametrize("size", [1.0, 0.02])
def test_scale_of_the_input_changes_the_weight_of_eps(gpu, size):
    check(gpu, 3, 100, residual=True, input_scale=640**-0.5, size=size)


@pytest.mark.parametrize("size", [0.0, 1e-4, 1e4])
def test_tiny_and_large_rows_keep_their_precision(gpu, size):
    check(gpu, 2, 100, size=size)
