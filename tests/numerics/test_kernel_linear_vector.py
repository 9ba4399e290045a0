"""Matrix-vector kernels against their twin, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.linear_vector import ROWS_WITHOUT_SPLIT, linear_vector
from compiler.quantize import FORMATS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, sentinels

EPS = 1e-6
CAP = 30.0


def check(gpu, rows: int, columns: int, format: str, x_offset: int = 0, norm: bool = False, epilogue: str = "none",
          other_offset: int = 0, size: float = 1.0) -> np.ndarray:
    """Runs the kernel on random values (x scaled by `size`) and compares; returns y."""
    rng = np.random.default_rng(rows * 1000 + columns)
    buffers, weight = encode(normal(rng, (2 if epilogue == "gated" else 1) * rows, columns) / np.float32(columns**0.5), format)
    x, gain, other = normal(rng, 1, columns) * np.float32(size), 1 + normal(rng, columns) / 4, normal(rng, 1, rows)
    # NaN around x and `other`: whatever the kernel reads from there would show.
    held_x = np.full(x_offset + columns + 64, np.nan, np.float32)
    held_x[x_offset : x_offset + columns] = x
    held_other = np.full(other_offset + rows + 8, np.nan, np.float32)
    held_other[other_offset : other_offset + rows] = other
    kernel = linear_vector(rows, columns, format, x_offset=x_offset, norm_eps=EPS if norm else None, epilogue=epilogue, cap=CAP)
    arrays = [*buffers, held_x, *([gain] if norm else []), *([held_other, np.array([other_offset], np.int32)] if epilogue == "gated_by" else []), sentinels(rows + 8)]
    y = gpu.run(kernel, *arrays)[-1]
    assert (y[rows:] == SENTINEL).all()

    gain = gain if norm else None
    into = twins.rms_norm(x, EPS) * gain if norm else x
    product = twins.linear(x, weight, gain, EPS)
    bound = tolerances.product(into, weight) + (tolerances.inverse_rms(columns) * np.abs(product) if norm else 0)
    if epilogue == "gated":
        (a, b), (error_a, error_b) = np.split(product, 2, axis=1), np.split(bound, 2, axis=1)
        bound = np.abs(b) * tolerances.gelu(a, error_a) + np.abs(twins.gelu(a)) * (error_b + tolerances.U * np.abs(b))
    elif epilogue == "gated_by":
        bound = np.abs(other) * (tolerances.gelu(product, bound) + tolerances.U * np.abs(product))
    elif epilogue == "softcap":
        bound = tolerances.softcap(product, bound, CAP)
    expected = twins.linear(x, weight, gain, EPS, epilogue, CAP, other)
    assert_within(y[None, :rows], expected, bound)
    return y[:rows]


# Rows: one, one tile and a bit, odd tiles. Columns: below a group, a ragged last group, an odd and an even number of groups.
SIZES = [(33, 36), (70, 100), (40, 640)]


@pytest.mark.parametrize(("format", "rows", "columns"), [(format, *size) for format in FORMATS for size in SIZES]
                         + [(format, *size) for format in ("f16", "q4") for size in [(1, 4), (64, 96)]])
def test_product_is_that_of_the_decoded_weights(gpu, format, rows, columns):
    check(gpu, rows, columns, format)


@pytest.mark.parametrize("format", FORMATS)
def test_norm_rides_along_from_an_offset(gpu, format):
    check(gpu, 33, 100, format, x_offset=20, norm=True)


@pytest.mark.parametrize("format", ["f32", "q4"])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(("epilogue", "other_offset"), [("gated", 0), ("gated_by", 5), ("softcap", 0)])
def test_epilogue_follows_the_product(gpu, format, epilogue, other_offset, norm):
    check(gpu, 33, 96, format, x_offset=4, norm=norm, epilogue=epilogue, other_offset=other_offset)


@pytest.mark.parametrize("norm", [False, True])
def test_a_row_a_thread_where_rows_are_many(gpu, norm):
    check(gpu, ROWS_WITHOUT_SPLIT + 1, 36, "q4", norm=norm)


@pytest.mark.parametrize(("epilogue", "twin", "error"), [("gated_by", twins.gelu, lambda x: tolerances.gelu(x, 0)),
                                                         ("softcap", lambda x: 3 * np.tanh(x / 3), lambda x: tolerances.softcap(x, 0, 3.0))])
def test_epilogue_is_right_all_along_its_curve(gpu, epilogue, twin, error):
    # One column, times 1: the products are the weights themselves, so only the epilogue's own error is left.
    products = np.linspace(-7, 7, 225, dtype=np.float32)
    (data,), _ = encode(products[:, None] * np.eye(1, 4, dtype=np.float32), "f32")
    ones = [np.ones(225, np.float32), np.zeros(1, np.int32)] if epilogue == "gated_by" else []
    y = gpu.run(linear_vector(225, 4, "f32", epilogue=epilogue, cap=3.0), data, np.eye(1, 4, dtype=np.float32), *ones, sentinels(225))[-1]
    x = products.astype(np.float64)
    assert_within(y, twin(x), error(x))


@pytest.mark.parametrize("epilogue", ["gated", "gated_by"])
def test_gelu_of_large_products_saturates_without_nan(gpu, epilogue):
    y = check(gpu, 64, 32, "f32", epilogue=epilogue, size=300.0)
    assert np.isfinite(y).all()


def test_softcap_bounds_large_products(gpu):
    y = check(gpu, 64, 32, "f32", epilogue="softcap", size=3000.0)
    assert (np.abs(y) <= np.float32(CAP)).all() and np.abs(y).max() > 29


def test_a_vector_of_zeros_stays_zero_through_the_norm(gpu):
    y = check(gpu, 33, 36, "q8", norm=True, size=0.0)
    assert (y == 0).all()
