"""Kernels that round their activations, and block scales, against their twins, through WebGPU."""
import numpy as np
import pytest

from compiler.kernels import twins
from compiler.kernels.embed import embed_kernel
from compiler.kernels.linear_matrix import linear_matrix
from compiler.kernels.linear_vector import MANY_ROWS, linear_vector
from compiler.kernels.rounding import HIGHEST, LOWEST, Rounding, rounding_table
from compiler.kernels.vector_input import VectorInput
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import SENTINEL, assert_within, encode, normal, pack_vectors, sentinels, state_words

EPS = 1e-6


def near_whole_steps(rng: np.random.Generator, step: float, *shape: int) -> np.ndarray:
    """float32 values that lie within 0.4 steps of a whole number of steps, some of them beyond what is kept.

    So no rounding of float32 moves a value over an edge: it is off by 150 x 2^-22 steps at most.
    """
    return ((rng.integers(LOWEST - 20, HIGHEST + 20, shape) + rng.uniform(-0.4, 0.4, shape)) * (step or 0.1)).astype(np.float32)


def steps_by_row(first_rows: list[int], steps: list[tuple[float, float]], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Input and output step of each row, float64 [rows], as float32 holds them."""
    counts = np.diff([*first_rows, rows])
    pairs = np.repeat(np.array(steps, np.float32), counts, axis=0).astype(np.float64)
    return pairs[:, 0], pairs[:, 1]


def check(gpu, tokens: int, rows: int, columns: int, format: str, first_rows: list[int], steps: list[tuple[float, float]],
          norm: bool = False, epilogue: str = "none") -> None:
    """One product, all of whose inputs round alike (tokens 1: the vector kernel). Its outputs are bounded by their own
    error and, where they are rounded, may be a step off only where the twin lies at an edge within that error."""
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
        kernel = linear_vector(rows, columns, format, VectorInput(norm=EPS if norm else None), epilogue, 30.0, rounding)
        vectors = pack_vectors([gain] if norm else [], [*([0.0] if gated_by else []), *table])
        arrays = [*buffers, x, vectors, *([other] if gated_by else [])]
    else:
        kernel = linear_matrix(tokens, rows, columns, format, epilogue=epilogue, cap=30.0, rounding=rounding,
                               other_stride=rows if gated_by else 0)
        arrays = [*buffers, table, x, *([other, np.zeros(1, np.int32)] if gated_by else []), state_words(length=tokens)]
    y = gpu.run(kernel, *arrays, sentinels(tokens * rows + 8))[-1]
    assert (y[tokens * rows :] == SENTINEL).all()

    inputs, outputs = steps_by_row(first_rows, steps, held_rows)
    normed = twins.rms_norm(x, EPS) * gain if norm else x.astype(np.float64)
    magnitude = np.abs(twins.round_to(normed, inputs.max())) + inputs.max()
    error = tolerances.product(magnitude, weight)
    product = np.stack([twins.round_to(normed, step) @ row for row, step in zip(weight.astype(np.float64), inputs)], axis=1)
    counted = product / np.where(outputs == 0, 1, outputs)
    at_edge = (outputs > 0) & (np.abs(counted - np.floor(counted) - 0.5) * outputs <= error) & (np.abs(counted) < 130)
    bound = np.where(outputs == 0, error, np.where(at_edge, outputs, 0) + 4 * tolerances.U * np.abs(product))
    kept = twins.round_to(product, outputs)
    if epilogue == "gated":
        (a, b), (error_a, error_b) = np.split(kept, 2, axis=1), np.split(bound, 2, axis=1)
        bound = np.abs(b) * tolerances.gelu(a, error_a) + np.abs(twins.gelu(a)) * (error_b + tolerances.U * np.abs(b)) + 1.13 * error_a * error_b
    elif epilogue == "gated_by":
        bound = np.abs(other) * (tolerances.gelu(kept, bound) + tolerances.U * np.abs(kept))
    elif epilogue == "softcap":
        bound = tolerances.softcap(kept, bound, 30.0)
    expected = twins.linear(x, weight, gain if norm else None, EPS, epilogue, 30.0, other, inputs, outputs)
    assert at_edge.mean() < 0.05
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
