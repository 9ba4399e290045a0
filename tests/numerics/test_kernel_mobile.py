"""Kernels that round their activations, and block scales, against their twins, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.embed import embed_kernel
from compiler.kernels.linear_matrix import linear_matrix
from compiler.kernels.linear_vector import MANY_ROWS, linear_vector
from compiler.kernels.rounding import Rounding, rounding_table
from compiler.kernels.vector_input import VectorInput
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, pack_vectors, sentinels, state_words
from tests.fixtures.whole_steps import CAP, bound_of, near_whole_steps, steps_by_row

EPS = 1e-6


def check(gpu, tokens: int, rows: int, columns: int, format: str, first_rows: list[int], steps: list[tuple[float, float]],
          norm: bool = False, epilogue: str = "none") -> None:
    """One product (tokens 1: the vector kernel)."""
    rng = np.random.default_rng(rows)
    held_rows = (2 if epilogue == "gated" else 1) * rows
    buffers, weight = encode(normal(rng, held_rows, columns) / np.float32(columns**0.5), format)
    gain = 1 + normal(rng, columns) / 4
    x = near_whole_steps(rng, steps[0][0], tokens, columns)
    rounding = Rounding(len(steps), len({step for step, _ in steps}) == 1)
    table = rounding_table(first_rows, steps)
    other = normal(rng, tokens, rows)
    gated_by = epilogue == "gated_by"
    if norm:
        # What the norm makes of x lies near whole steps: x is what the norm's factor and gain turn into that.
        wanted = x / gain
        x = (wanted / np.sqrt((wanted.astype(np.float64) ** 2).mean())).astype(np.float32)
        scale = np.sqrt((x.astype(np.float64) ** 2).mean() + EPS) * np.sqrt((wanted.astype(np.float64) ** 2).mean())
        gain = (gain * scale).astype(np.float32)
    if tokens == 1:
        kernel = linear_vector(rows, columns, format, VectorInput(norm=EPS if norm else None), epilogue, CAP, rounding)
        vectors = pack_vectors([gain] if norm else [], [*([0.0] if gated_by else []), *table])
        arrays = [*buffers, x, vectors, *([other] if gated_by else [])]
    else:
        kernel = linear_matrix(tokens, rows, columns, format, epilogue=epilogue, cap=CAP, rounding=rounding,
                               other_stride=rows if gated_by else 0)
        arrays = [*buffers, table, x, *([other, np.zeros(1, np.int32)] if gated_by else []), state_words(length=tokens)]
    y = gpu.run(kernel, *arrays, sentinels(tokens * rows + 8))[-1]
    assert (y[tokens * rows :] == SENTINEL).all()

    inputs, outputs = steps_by_row(first_rows, steps, held_rows)
    normed = twins.rms_norm(x, EPS) * gain if norm else x.astype(np.float64)
    bound = bound_of(normed, weight, inputs, outputs, epilogue, other)
    expected = twins.linear(x, weight, gain if norm else None, EPS, epilogue, CAP, other, inputs, outputs)
    assert_within(y[: tokens * rows].reshape(tokens, rows), expected, bound)


STEPS = {"both": (0.03, 0.07), "input": (0.03, 0.0), "output": (0.0, 0.07)}


@pytest.mark.parametrize("tokens", [1, 12])
@pytest.mark.parametrize("format", ["m2", "m4", "m8", "bf16", "q4"])
def test_input_and_output_are_rounded(gpu, tokens, format):
    check(gpu, tokens, 70, 100, format, [0], [STEPS["both"]])


@pytest.mark.parametrize("tokens", [1, 12])
@pytest.mark.parametrize("steps", ["input", "output"])
def test_a_step_of_zero_does_not_round(gpu, tokens, steps):
    check(gpu, tokens, 33, 64, "m4", [0], [STEPS[steps]])


@pytest.mark.parametrize("rows", [33, MANY_ROWS + 1])
def test_the_norm_comes_before_the_rounding(gpu, rows):
    check(gpu, 1, rows, 96, "m2", [0], [STEPS["both"]], norm=True)


@pytest.mark.parametrize("tokens", [1, 12])
def test_each_merged_matrix_rounds_its_own_output(gpu, tokens):
    check(gpu, tokens, 70, 96, "m4", [0, 37, 50], [(0.03, 0.07), (0.03, 0.0), (0.03, 0.5)])


@pytest.mark.parametrize("tokens", [1, 12])
def test_each_merged_matrix_rounds_its_own_input_where_they_differ(gpu, tokens):
    # The inputs lie near whole multiples of 0.03; a step of 0.015 keeps them apart from its edges just as well.
    check(gpu, tokens, 70, 96, "m4", [0, 37], [(0.03, 0.07), (0.0, 0.05)])


@pytest.mark.parametrize("tokens", [1, 12])
@pytest.mark.parametrize(("epilogue", "first_rows"), [("gated", [0, 33]), ("gated_by", [0]), ("softcap", [0])])
def test_the_epilogue_comes_after_the_rounding(gpu, tokens, epilogue, first_rows):
    check(gpu, tokens, 33, 96, "m4", first_rows, [(0.03, 0.07), (0.03, 0.05)][: len(first_rows)], epilogue=epilogue)


@pytest.mark.parametrize("tokens", [1, 8])
def test_halves_go_to_even_and_ends_are_kept(gpu, tokens):
    # Powers of two: every quotient is exact, on any device. The weights pick one value of x each.
    step, columns = 0.25, 64
    counts = np.concatenate([np.arange(-4, 4) + 0.5, [-200, -128.5, -128, -127.5, 126.5, 127, 127.5, 128, 200]])
    x = np.zeros((tokens, columns), np.float32)
    x[:, : len(counts)] = counts * step
    (data, scales), weight = encode(np.eye(columns, dtype=np.float32), "m2")
    assert (weight == np.eye(columns)).all()
    for pair in ((step, 0.0), (0.0, step)):
        table = rounding_table([0], [pair])
        if tokens == 1:
            y = gpu.run(linear_vector(columns, columns, "m2", rounding=Rounding(1, True)), data, scales, x, pack_vectors([], table), sentinels(columns))[-1]
        else:
            y = gpu.run(linear_matrix(tokens, columns, columns, "m2", rounding=Rounding(1, True)), data, scales, table, x,
                        state_words(length=tokens), sentinels(tokens * columns))[-1]
        expected = np.clip(np.rint(x.astype(np.float64) / step), -128, 127) * step
        np.testing.assert_array_equal(y.reshape(tokens, columns), expected)


@pytest.mark.parametrize(("format", "width"), [("m2_64", 192), ("m4_32", 96), ("m4_64", 128), ("m8_32", 64)])
def test_embedding_rows_have_a_scale_a_block(gpu, format, width):
    values = normal(np.random.default_rng(0), 70, width) * np.repeat(10.0 ** np.arange(width // 32), 32).astype(np.float32)
    ids = [0, 31, 32, 69, 5, 5]
    buffers, table = encode(values, format)
    out = gpu.run(embed_kernel(len(ids), 70, width, format, 7.0), *buffers, state_words(length=len(ids), tokens=ids), sentinels(len(ids) * width))[-1]
    expected = twins.embed(np.array(ids), table, 7.0)
    # Roundings: the block's scale in the decoded table, its product with the constant, the product with the value.
    assert_within(out.reshape(len(ids), width), expected, 3 * tolerances.U * np.abs(expected))


@pytest.mark.parametrize("tokens", [1, 12])
@pytest.mark.parametrize("format", ["m2_64", "m4_32", "m8_64"])
def test_products_take_a_scale_a_block(gpu, tokens, format):
    rng = np.random.default_rng(0)
    buffers, weight = encode(normal(rng, 40, 192) * np.repeat([1.0, 8.0, 64.0], 64).astype(np.float32), format)
    x = normal(rng, tokens, 192)
    kernel = linear_vector(40, 192, format) if tokens == 1 else linear_matrix(tokens, 40, 192, format)
    state = [] if tokens == 1 else [state_words(length=tokens)]
    y = gpu.run(kernel, *buffers, x, *state, sentinels(tokens * 40))[-1]
    assert_within(y.reshape(tokens, 40), twins.linear(x, weight), tolerances.product(x, weight))
