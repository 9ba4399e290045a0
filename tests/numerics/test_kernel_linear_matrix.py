"""Matrix-matrix kernels against their twin, through WebGPU."""
from functools import cache

import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.kernel import HALF, PACKED, SOFTWARE, SUBGROUPS
from compiler.kernels.linear_matrix import linear_matrix
from compiler.quantize import FORMATS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, sentinels, state_words

# The same sizes give the same kernel, which takes longer to build than to run.
linear_matrix = cache(linear_matrix)

CAP = 30.0


def strided(values: np.ndarray, stride: int, offset: int) -> np.ndarray:
    """Rows `stride` values apart from `offset` on; NaN between, so that a stray read would show."""
    held = np.full((len(values), stride), np.nan, np.float32)
    held[:, offset : offset + values.shape[1]] = values
    return held


def check(gpu, tokens: int, rows: int, columns: int, format: str, length: int | None = None, x_stride: int | None = None, x_offset: int = 0,
          epilogue: str = "none", other_stride: int = 0, other_offset: int = 0, variant: str | tuple[str, ...] | None = None) -> np.ndarray:
    """Runs the kernel, or the variant that requires `variant`, and compares the rows that count; returns all of Y, [tokens, rows]."""
    rng = np.random.default_rng(tokens * 10000 + rows * 100 + columns)
    length = tokens if length is None else length
    buffers, weight = encode(normal(rng, (2 if epilogue == "gated" else 1) * rows, columns) / np.float32(columns**0.5), format)
    x, other = normal(rng, tokens, columns), normal(rng, tokens, rows)
    held = [strided(x, x_stride or columns, x_offset)]
    held += [strided(other, other_stride, other_offset), np.array([other_offset], np.int32)] if epilogue == "gated_by" else []
    kernel = linear_matrix(tokens, rows, columns, format, x_stride=x_stride, x_offset=x_offset, epilogue=epilogue, cap=CAP,
                           other_stride=other_stride)
    if variant is not None:
        kernel, = (each for each in kernel.variants if each.requires == (variant if isinstance(variant, tuple) else (variant,)))
    out = gpu.run(kernel, *buffers, *held, state_words(length=length), sentinels(tokens * rows + 8))[-1]
    assert (out[tokens * rows :] == SENTINEL).all()
    y = out[: tokens * rows].reshape(tokens, rows)

    # Both round x to integers alike: what is left is the error of float32 sums.
    x = twins.int8_activations(x) if variant == PACKED else x
    product = twins.linear(x, weight)
    bound = tolerances.half_product(x, weight) if variant == HALF else tolerances.product(x, weight)
    bound = tolerances.after(epilogue, product, bound, other, CAP)
    expected = twins.linear(x, weight, epilogue=epilogue, cap=CAP, other=other)
    assert_within(y[:length], expected[:length], bound[:length])
    return y


# Rows: one, a tile and a bit, more than the 128 of a workgroup. Tokens: less than a thread's eight, a tile of 32 and a bit.
SIZES = [(8, 33, 36), (16, 150, 100)]


@pytest.mark.parametrize(("format", "tokens", "rows", "columns"), [(format, *size) for format in FORMATS for size in SIZES]
                         + [(format, *size) for format in ("bf16", "q8") for size in [(5, 1, 4), (40, 64, 96)]])
def test_product_is_that_of_the_decoded_weights(gpu, format, tokens, rows, columns):
    check(gpu, tokens, rows, columns, format)


@pytest.mark.parametrize(("format", "tokens", "rows", "columns"), [(format, *SIZES[1]) for format in FORMATS] + [("q8", 5, 1, 4), ("q4", 40, 300, 96)])
def test_quads_give_the_same_product(gpu, format, tokens, rows, columns):
    check(gpu, tokens, rows, columns, format, variant=SUBGROUPS)


@pytest.mark.parametrize(("epilogue", "format"), [("gated", "q8"), ("gated_by", "q4"), ("softcap", "f16")])
def test_quads_keep_strides_epilogues_and_lengths(gpu, epilogue, format):
    y = check(gpu, 40, 70, 100, format, length=13, x_stride=200, x_offset=24, epilogue=epilogue, other_stride=120, other_offset=11,
              variant=SUBGROUPS)
    assert (y[16:] == SENTINEL).all()


# Rows: more than the 512 of a workgroup, fewer than a tile, gated.
@pytest.mark.parametrize(("format", "rows", "columns", "epilogue"), [("q8", 540, 100, "none"), ("q4", 33, 64, "softcap"), ("q8", 270, 36, "gated"),
                                                                     ("f16", 33, 64, "gated_by"), ("m2", 100, 128, "none")])
def test_wide_tiles_give_the_same_product(gpu, format, rows, columns, epilogue):
    y = check(gpu, 130, rows, columns, format, length=115, x_stride=200, x_offset=24, epilogue=epilogue, other_stride=600, other_offset=11,
              variant=(SUBGROUPS, SOFTWARE))
    assert (y[128:] == SENTINEL).all()


def test_small_chunks_have_no_wide_tiles():
    assert [[SOFTWARE in kernel.requires for kernel in linear_matrix(tokens, 33, 64, "f32").variants] for tokens in (127, 128)] == [[False], [True, False]]


# Columns: less than a group, groups and a bit, several stages of 256 and a bit.
@pytest.mark.parametrize(("format", "tokens", "rows", "columns"), [
    *((format, 16, 150, 100) for format in ("q8", "q4", "m8", "m4", "m2", "m4_32", "m2_64")), ("q8", 5, 1, 4), ("q4", 40, 300, 96), ("q8", 70, 33, 612),
    ("m2", 9, 33, 612), ("q4", 33, 64, 512)])
def test_integers_give_the_product_of_rounded_activations(gpu, format, tokens, rows, columns):
    check(gpu, tokens, rows, columns, format, variant=PACKED)


@pytest.mark.parametrize(("epilogue", "format"), [("gated", "q8"), ("gated_by", "q4"), ("softcap", "q8")])
def test_integers_keep_strides_epilogues_and_lengths(gpu, epilogue, format):
    y = check(gpu, 70, 70, 100, format, length=13, x_stride=200, x_offset=24, epilogue=epilogue, other_stride=120, other_offset=11, variant=PACKED)
    assert (y[32:] == SENTINEL).all()


# SwiftShader has no float16, so that Chromium cannot take these.
@pytest.mark.parametrize(("format", "tokens", "rows", "columns"), [
    *((format, 16, 150, 100) for format in ("q8", "q4", "m8", "m4", "m4_32")), ("q8", 5, 1, 4), ("q4", 40, 300, 96), ("q8", 70, 33, 612)])
def test_float16_gives_the_product_within_its_precision(native_gpu, format, tokens, rows, columns):
    check(native_gpu, tokens, rows, columns, format, variant=HALF)


@pytest.mark.parametrize(("epilogue", "format"), [("gated", "q8"), ("gated_by", "q4"), ("softcap", "q8")])
def test_float16_keeps_strides_epilogues_and_lengths(native_gpu, epilogue, format):
    y = check(native_gpu, 70, 70, 100, format, length=13, x_stride=200, x_offset=24, epilogue=epilogue, other_stride=120, other_offset=11, variant=HALF)
    assert (y[32:] == SENTINEL).all()


def test_float16_takes_activations_far_beyond_its_range(native_gpu):
    x = normal(np.random.default_rng(1), 6, 64)
    x[0], x[1, :32], x[1, 32:] = 0, x[1, :32] * np.float32(1e-25), x[1, 32:] * np.float32(1e15)
    x[2, 7], x[3, 40], x[4] = 1e6, -1e7, np.where(np.arange(64) % 2, 1e9, -1e9)
    # The largest weights that there are: of one sign, so that sums of four are as large as can be.
    buffers, weight = encode(np.concatenate([normal(np.random.default_rng(2), 33, 64), np.ones((1, 64), np.float32)]), "q8")
    kernel, = (each for each in linear_matrix(6, 34, 64, "q8").variants if each.requires == (HALF,))
    y = native_gpu.run(kernel, *buffers, x, state_words(length=6), sentinels(6, 34))[-1]
    assert_within(y, twins.linear(x, weight), tolerances.half_product(x, weight))


def test_float16_adds_up_no_more_than_four_products(native_gpu):
    # Four products make 260, where float16 goes in steps of 0.25; each four after them make 0.124, which would be lost, and seven such losses are
    # more than the bound allows. The weights' scale is 2^-7, by the 127 that meets a 0.
    whole, x = np.ones(32, np.float32), np.full((1, 32), 0.031, np.float32)
    whole[:4], x[0, :4], whole[31], x[0, 31] = 65, 1, 127, 0
    buffers, weight = encode(whole[None] / 128, "q8")
    assert (weight * 128 == whole).all()
    kernel, = (each for each in linear_matrix(1, 1, 32, "q8").variants if each.requires == (HALF,))
    y = native_gpu.run(kernel, *buffers, x, state_words(), sentinels(1, 1))[-1]
    assert_within(y, twins.linear(x, weight), tolerances.half_product(x, weight))


def test_activations_of_every_size_are_rounded_in_their_own_group(gpu):
    # Groups of zeros, of the smallest and largest magnitudes, and one whose largest value stands far out; signs at both ends.
    x = normal(np.random.default_rng(1), 6, 64)
    x[0] = 0
    x[1, :32], x[1, 32:] = x[1, :32] * np.float32(1e-25), x[1, 32:] * np.float32(1e15)
    x[2, 7], x[3, 40], x[4, :2], x[5, :32] = 1e4, -1e4, (np.abs(x[4]).max(), -np.abs(x[4]).max()), 1e-38
    buffers, weight = encode(normal(np.random.default_rng(2), 33, 64), "q8")
    kernel, = (each for each in linear_matrix(6, 33, 64, "q8").variants if each.requires == (PACKED,))
    y = gpu.run(kernel, *buffers, x, state_words(length=6), sentinels(6, 33))[-1]
    rounded = twins.int8_activations(x)
    assert (rounded[0] == 0).all() and (rounded[5, :32] == 0).all()
    assert (np.abs(rounded - x) <= 1.01 * np.repeat(np.abs(x).reshape(6, 2, 32).max(2), 32, axis=1) / 254 + 1e-30).all()
    assert_within(y, twins.linear(rounded, weight), tolerances.product(rounded, weight))


@pytest.mark.parametrize("format", ["f32", "f16", "bf16"])
def test_weights_that_are_no_whole_numbers_have_no_rounding_form(format):
    assert [kernel.requires for kernel in linear_matrix(16, 33, 36, format).variants] == [(SUBGROUPS,)]


@pytest.mark.parametrize("format", ["f32", "q8"])
@pytest.mark.parametrize(("epilogue", "rows"), [("gated", 33), ("gated", 100), ("softcap", 70)])
def test_epilogue_follows_the_product(gpu, format, epilogue, rows):
    check(gpu, 16, rows, 100, format, epilogue=epilogue)


@pytest.mark.parametrize("format", ["f16", "bf16", "q4"])
def test_x_and_other_are_read_from_the_middle_of_wider_rows(gpu, format):
    check(gpu, 12, 33, 36, format, x_stride=100, x_offset=24, epilogue="gated_by", other_stride=50, other_offset=11)


@pytest.mark.parametrize("length", [1, 7, 32, 33])
def test_rows_that_count_are_right_whatever_the_chunk_holds(gpu, length):
    y = check(gpu, 40, 33, 64, "q8", length=length)
    # A tile holds 32 tokens here: the second one is skipped where no token in it counts.
    assert (y[32:] == SENTINEL).all() == (length <= 32)


def test_values_beyond_the_length_do_not_leak_into_rows_that_count(gpu):
    rng = np.random.default_rng(0)
    (data,), weight = encode(normal(rng, 33, 64), "f32")
    x = normal(rng, 16, 64)
    spoilt = x.copy()
    spoilt[5:] = np.nan
    kernel, state = linear_matrix(16, 33, 64, "f32"), state_words(length=5)
    clean, noisy = (gpu.run(kernel, data, given, state, sentinels(16, 33))[-1][:5] for given in (x, spoilt))
    np.testing.assert_array_equal(clean, noisy)
    assert_within(clean, twins.linear(x[:5], weight), tolerances.product(x[:5], weight))
