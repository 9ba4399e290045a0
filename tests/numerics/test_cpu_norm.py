"""Norm kernels of the CPU against their twin, in wasmtime."""
import numpy as np
import pytest

from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128
from compiler.cpu_kernels.norm import norm_kernel
from compiler.kernels import twins
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, normal, sentinels
from tests.fixtures.native_wasm import run_cpu_kernel

EPS = 1e-6


def check(rows: int, width: int, rows_per_token: int = 1, residual: bool = False, input_scale: float = 1.0, output_scale: float | str = 1.0,
          size: float = 1.0, simd: str = RELAXED) -> None:
    """All tokens but the last, in two ranges; the last keeps its sentinels."""
    rng = np.random.default_rng(rows * 1000 + width)
    x, gain, added = normal(rng, rows, width) * np.float32(size), 1 + normal(rng, width) / 4, normal(rng, rows, width)
    scale = np.array([0.37], np.float32)
    kernel = norm_kernel(rows, rows_per_token, width, EPS, residual, input_scale, output_scale)
    assert kernel.items % rows_per_token == 0 and kernel.per_token
    count = rows - rows_per_token if rows > rows_per_token else rows
    items = count * kernel.items // rows_per_token
    middle = items // 2
    arrays = {"X": x, "G": gain, "R": added, "C": scale, "Y": sentinels(rows, width)}
    out = run_cpu_kernel(kernel, arrays, [(middle, items), (0, middle)], simd)["Y"]
    assert (out[count:] == SENTINEL).all()

    after = float(scale[0]) if output_scale == "tensor" else output_scale
    added = added if residual else np.zeros_like(added)
    normed = twins.norm(x, gain, EPS, input_scale=input_scale)
    # The sum is rounded once, the scale after it twice (as a constant, and in the product).
    bound = abs(after) * (tolerances.normed(normed) + 3 * tolerances.U * (np.abs(normed) + np.abs(added)))
    assert_within(out[:count], twins.norm(x, gain, EPS, added, input_scale, after)[:count], bound[:count])


@pytest.mark.parametrize(("rows", "width"), [(1, 4), (1, 640), (3, 100), (2, 256), (5, 640), (9, 36), (2, 2816)])
@pytest.mark.parametrize("simd", [RELAXED, SIMD128])
def test_rows_are_divided_by_their_root_mean_square(rows, width, simd):
    check(rows, width, simd=simd)


def test_heads_are_rows_of_their_own():
    check(5 * 8, 256, rows_per_token=8)


@pytest.mark.parametrize(("rows", "width"), [(1, 4), (1, 640), (3, 100), (2, 640)])
@pytest.mark.parametrize("output_scale", [1.0, 2.0**-0.5, "tensor"])
def test_residual_is_added_before_the_scale(rows, width, output_scale):
    check(rows, width, residual=True, output_scale=output_scale)


def test_scale_without_residual():
    check(2, 36, output_scale=0.25)


@pytest.mark.parametrize("size", [1.0, 0.02])
def test_scale_of_the_input_changes_the_weight_of_eps(size):
    check(3, 100, residual=True, input_scale=640**-0.5, size=size)


@pytest.mark.parametrize("size", [0.0, 1e-4, 1e4])
def test_tiny_and_large_rows_keep_their_precision(size):
    check(2, 100, size=size)
