"""Matrix-vector kernels against their twin, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.attention_block import MASKED
from compiler.kernels.kernel import TILE
from compiler.kernels.linear_vector import MANY_ROWS, linear_vector
from compiler.kernels.vector_input import STAGED, VectorInput
from compiler.quantize import FORMATS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, pack_vectors, sentinels

EPS = 1e-6
CAP = 30.0
SCALE = 0.37


def check(gpu, rows: int, columns: int, format: str, source: VectorInput = VectorInput(), epilogue: str = "none", other_offset: int = 0,
          size: float = 1.0, peaks: bool = False) -> np.ndarray:
    """Runs the kernel on random values (X scaled by `size`) and compares y, the stored residual and the peaks; returns y."""
    rng = np.random.default_rng(rows * 1000 + columns)
    buffers, weight = encode(normal(rng, (2 if epilogue == "gated" else 1) * rows, columns) / np.float32(columns**0.5), format)
    x, mixed, residual = (normal(rng, 1, columns) * np.float32(size) for _ in range(3))
    gains, other = [1 + normal(rng, columns) / 4 for _ in range(source.gains)], normal(rng, 1, rows)
    # NaN around x and `other`: whatever the kernel reads from there would show.
    held_x = np.full(source.offset + columns + 64, np.nan, np.float32)
    held_x[source.offset : source.offset + columns] = x
    held_other = np.full(other_offset + rows + 8, np.nan, np.float32)
    held_other[other_offset : other_offset + rows] = other
    numbers = ([SCALE] if source.scale == "tensor" else []) + ([other_offset] if epilogue == "gated_by" else [])
    kernel = linear_vector(rows, columns, format, source, epilogue, CAP, peaks=peaks)
    blocks = kernel.grid[0]
    arrays = {"W": buffers[0], "S": buffers[-1], "X": held_x, "M": mixed, "R": residual, "V": pack_vectors(gains, numbers), "E": held_other,
              "Y": sentinels(rows + 8), "H": sentinels(columns + 8), "PEAKS": sentinels(blocks + 8)}
    results = dict(zip(kernel.parameter_names, gpu.run(kernel, *(arrays[name] for name in kernel.parameter_names))))
    y = results["Y"]
    assert (y[rows:] == SENTINEL).all()

    into, input_bound, stored, stored_bound = made_input(source, x, mixed, residual, gains)
    assert ("H" in results) == (stored is not None and not peaks)
    if "H" in results:
        assert_within(results["H"][None, :columns], stored, stored_bound)
        assert (results["H"][columns:] == SENTINEL).all()
    product = twins.linear(into, weight)
    bound = tolerances.product(into, weight) + input_bound @ np.abs(weight).T
    bound = tolerances.after(epilogue, product, bound, other, CAP)
    expected = twins.linear(into, weight, epilogue=epilogue, cap=CAP, other=other)
    assert_within(y[None, :rows], expected, bound)
    if peaks:
        block = -(-rows // blocks // TILE) * TILE
        assert results["PEAKS"][:blocks].tolist() == [max(y[start : min(start + block, rows)]) for start in range(0, rows, block)]
        assert (results["PEAKS"][blocks:] == SENTINEL).all()
    return y[:rows]


def made_input(source: VectorInput, x, mixed, residual, gains) -> tuple:
    """x[1, K] as `source` makes it, its bound, and the residual stream that is stored (None where there is none) with its bound.

    A norm's result is off by its own error, and by its input's: relative to the root of the mean square the input's error counts
    once in the value itself and once, at most, in the mean.
    """

    def normed(value, bound, gain):
        scaled = twins.rms_norm(value, EPS) * gain
        rms = np.sqrt((value * value).mean() + EPS)
        return scaled, tolerances.normed(scaled) + np.abs(gain) * (bound / rms + np.abs(value) / rms * np.sqrt((bound * bound).mean()) / rms)

    gains = iter(gains)
    value, bound, stored, stored_bound = x.astype(np.float64), np.zeros_like(x, np.float64), None, None
    if source.branches is not None:
        (first, error), (second, other_error) = normed(value, bound, next(gains)), normed(mixed.astype(np.float64), bound, next(gains))
        value, bound = first + second, error + other_error + tolerances.U * np.abs(first + second)
    if source.residual is not None:
        value, bound = normed(value, bound, next(gains))
        scale = SCALE if source.scale == "tensor" else source.scale
        bound = abs(scale) * (bound + 3 * tolerances.U * (np.abs(value) + np.abs(residual)))
        value = (residual + value) * np.float32(scale)
        stored, stored_bound = value, bound
    if source.norm is not None:
        value, bound = normed(value, bound, next(gains))
    return value, bound, stored, stored_bound


# Rows: one, one tile and a bit, odd tiles. Columns: below a group, a ragged last group, an odd and an even number of groups.
SIZES = [(33, 36), (70, 100), (40, 640)]


@pytest.mark.parametrize(("format", "rows", "columns"), [(format, *size) for format in FORMATS for size in SIZES]
                         + [(format, *size) for format in ("f16", "q4") for size in [(1, 4), (64, 96)]])
def test_product_is_that_of_the_decoded_weights(gpu, format, rows, columns):
    check(gpu, rows, columns, format)


@pytest.mark.parametrize("format", FORMATS)
def test_norm_rides_along_from_an_offset(gpu, format):
    check(gpu, 33, 100, format, VectorInput(offset=20, norm=EPS))


@pytest.mark.parametrize("source", [VectorInput(residual=EPS), VectorInput(residual=EPS, norm=EPS), VectorInput(residual=EPS, scale="tensor", norm=EPS),
                                    VectorInput(residual=EPS, scale=0.5), VectorInput(branches=EPS, residual=EPS, scale="tensor", norm=EPS)],
                         ids=lambda source: source.name)
@pytest.mark.parametrize("columns", [100, STAGED + 640])
def test_the_residual_stream_moves_on_before_the_product(gpu, source, columns):
    check(gpu, 70, columns, "q8", source)


@pytest.mark.parametrize("size", [0.0, 1e-4, 1e4])
def test_tiny_and_large_inputs_keep_their_precision(gpu, size):
    check(gpu, 33, 100, "f32", VectorInput(residual=EPS, norm=EPS), size=size)


@pytest.mark.parametrize("rows", [33, MANY_ROWS + 33])
def test_each_workgroup_leaves_its_largest_value(gpu, rows):
    check(gpu, rows, 36, "q8", VectorInput(norm=EPS), epilogue="softcap", peaks=True)


@pytest.mark.parametrize("format", ["f32", "q4"])
@pytest.mark.parametrize("norm", [None, EPS])
@pytest.mark.parametrize(("epilogue", "other_offset"), [("gated", 0), ("gated_by", 5), ("softcap", 0)])
def test_epilogue_follows_the_product(gpu, format, epilogue, other_offset, norm):
    check(gpu, 33, 96, format, VectorInput(offset=4, norm=norm), epilogue, other_offset)


@pytest.mark.parametrize("norm", [None, EPS])
def test_columns_are_not_shared_out_where_rows_are_many(gpu, norm):
    check(gpu, MANY_ROWS + 1, 36, "q4", VectorInput(norm=norm))


def test_columns_beyond_what_a_workgroup_holds_come_in_chunks(gpu):
    check(gpu, 33, 2 * STAGED + 100, "q4")


@pytest.mark.parametrize(("epilogue", "twin", "error"), [("gated_by", twins.gelu, lambda x: tolerances.gelu(x, 0)),
                                                         ("softcap", lambda x: 3 * np.tanh(x / 3), lambda x: tolerances.softcap(x, 0, 3.0))])
def test_epilogue_is_right_all_along_its_curve(gpu, epilogue, twin, error):
    # One column, times 1: the products are the weights themselves, so only the epilogue's own error is left.
    products = np.linspace(-7, 7, 225, dtype=np.float32)
    (data,), _ = encode(products[:, None] * np.eye(1, 4, dtype=np.float32), "f32")
    ones = [pack_vectors([], [0]), np.ones(225, np.float32)] if epilogue == "gated_by" else []
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
    y = check(gpu, 33, 36, "q8", VectorInput(norm=EPS), size=0.0)
    assert (y == 0).all()


# More parts than threads, and heads of one vector; a head whose parts all but one have no mass.
@pytest.mark.parametrize(("heads", "size", "splits"), [(1, 36, 1), (3, 20, 5), (32, 4, 16), (4, STAGED // 2, 3)])
def test_parts_of_an_attention_are_added_up(gpu, heads, size, splits):
    rng = np.random.default_rng(heads)
    buffers, weight = encode(normal(rng, 70, heads * size) / np.float32((heads * size)**0.5), "q8")
    parts, peaks, masses = normal(rng, splits, heads, size), normal(rng, splits, heads) * 4, rng.uniform(1, 9, (splits, heads)).astype(np.float32)
    empty = rng.random((splits, heads)) < 0.3
    empty[0], empty[1:, 0] = False, True
    # Of a part without mass nothing was stored, and its peak is below all scores.
    masses[empty], peaks[empty], parts[empty] = 0, MASKED, np.nan
    kernel = linear_vector(70, heads * size, "q8", VectorInput(heads=heads, splits=splits))
    y = gpu.run(kernel, *buffers, parts, np.stack([peaks, masses], axis=2), sentinels(78))[-1]
    assert (y[70:] == SENTINEL).all()

    distance = np.where(empty, 0, peaks.astype(np.float64) - np.where(empty, -np.inf, peaks).max(axis=0))
    factors = np.where(empty, 0, np.exp(distance))
    shares = (factors / (factors * masses).sum(axis=0))[:, :, None]
    held = np.where(empty[:, :, None], 0, parts).astype(np.float64)
    into = (shares * held).sum(axis=0).reshape(1, -1)
    # An exponential above and one below the line, a sum, a quotient, and a product and a sum a part.
    relative = 2 * tolerances.exponential(np.abs(distance).max()) + (2 * splits + 4) * tolerances.U + tolerances.DIVISION
    into_error = relative * (shares * np.abs(held)).sum(axis=0).reshape(1, -1)
    assert_within(y[None, :70], twins.linear(into, weight), tolerances.product(into, weight) + into_error @ np.abs(weight).T)
