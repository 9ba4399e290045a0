"""Products on the CPU that round to whole steps, against their twin, in wasmtime: in whole numbers with either instruction set, and in float32."""
from itertools import pairwise

import numpy as np
import pytest

from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128
from compiler.cpu_kernels.linear import RowsOf, linear_kernel
from compiler.cpu_kernels.quantize import WORDS, form_for, quantize_kernel
from compiler.cpu_kernels.rounding import round_kernel
from compiler.cpu_kernels.weight_quads import QuadLayout
from compiler.kernels import twins
from compiler.kernels.rounding import Rounding, rounding_table
from tests.fixtures.kernel_inputs import assert_within, encode, normal, sentinels, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.fixtures.quads import transposed
from tests.fixtures.whole_steps import CAP, bound_of, near_whole_steps, steps_by_row

SIMDS = pytest.mark.parametrize("simd", [RELAXED, SIMD128, None])
TOKENS = pytest.mark.parametrize("tokens", [1, 12])


def inputs_of(x: np.ndarray, layout: QuadLayout, simd: str | None, rounding: Rounding, table: np.ndarray) -> dict[str, np.ndarray]:
    """What the product reads of x, as the kernels make it that run before."""
    tokens, columns = x.shape
    if simd is None:
        kernel = round_kernel(tokens, columns, columns, 0, rounding)
        return {"X": run_cpu_kernel(kernel, {"X": x, "STEPS": table, "Y": np.zeros_like(x)}, [(0, 1), (1, tokens)], SIMD128)["Y"]}
    kernel = quantize_kernel(tokens, columns, layout.group, form_for(simd, layout.format), layout.zero, columns, 0, rounding=rounding)
    groups = tokens * layout.groups
    arrays = {"X": x, "STEPS": table, "Q": np.zeros(groups * layout.vectors * WORDS, np.int32), "SCALES": np.zeros(groups, np.float32),
              "SUMS": np.zeros(groups, np.int32)}
    found = run_cpu_kernel(kernel, arrays, [(0, 1), (1, groups)], simd)
    return {"X": found["Q"], "QSCALES": found["SCALES"], "QSUMS": found.get("SUMS")}


def run(x: np.ndarray, rows: int, format: str, simd: str | None, first_rows: list[int], steps: list[tuple[float, float]], epilogue: str, buffers, other) -> np.ndarray:
    tokens, columns = x.shape
    rounding, table = Rounding(len(steps), True), rounding_table(first_rows, steps)
    layout = QuadLayout((2 if epilogue == "gated" else 1) * rows, columns, format, simd)
    kernel = linear_kernel(tokens, rows, columns, format, simd if layout.bits else None, epilogue=epilogue, cap=CAP, other_stride=rows, rounding=rounding)
    arrays = {"W": transposed(buffers[0], layout.paired), "S": buffers[-1], "STEPS": table, "E": other, "STATE_WORDS": state_words(length=tokens, tokens=(0,) * tokens),
              "Y": sentinels(tokens, rows)} | inputs_of(x, layout, simd if layout.bits else None, rounding, table)
    return run_cpu_kernel(kernel, arrays, [(0, 1), (1, kernel.items)], simd or SIMD128)["Y"]


def check(tokens: int, rows: int, columns: int, format: str, simd: str | None, first_rows: list[int], steps: list[tuple[float, float]],
          epilogue: str = "none") -> None:
    rng = np.random.default_rng(rows)
    held_rows = (2 if epilogue == "gated" else 1) * rows
    buffers, weight = encode(normal(rng, held_rows, columns) / np.float32(columns**0.5), format)
    x, other = near_whole_steps(rng, steps[0][0], tokens, columns), normal(rng, tokens, rows)
    inputs, outputs = steps_by_row(first_rows, steps, held_rows)
    if steps[0][0] == 0 and simd is not None:
        # Nothing rounds x to steps, so that whole numbers of 14 bits do, which the twin then starts from.
        x = x[:, :1] * np.ones((1, columns), np.float32)
    y = run(x, rows, format, simd, first_rows, steps, epilogue, buffers, other)
    expected = twins.linear(x, weight, None, 0.0, epilogue, CAP, other, inputs, outputs)
    assert_within(y, expected, bound_of(x.astype(np.float64), weight, inputs, outputs, epilogue, other))


@SIMDS
@TOKENS
@pytest.mark.parametrize("format", ["m2", "m4", "m8", "m4_32", "bf16", "q4"])
def test_input_and_output_are_rounded(tokens, format, simd):
    check(tokens, 72, 100, format, simd, [0], [(0.03, 0.07)])


@SIMDS
@pytest.mark.parametrize("pair", [(0.03, 0.0), (0.0, 0.07)])
def test_a_step_of_zero_does_not_round(pair, simd):
    check(12, 36, 64, "m4", simd, [0], [pair])


@SIMDS
@TOKENS
def test_each_merged_matrix_rounds_its_own_output(tokens, simd):
    check(tokens, 72, 96, "m4", simd, [0, 36, 52], [(0.03, 0.07), (0.03, 0.0), (0.03, 0.5)])


@SIMDS
@TOKENS
def test_merged_matrices_that_round_their_input_apart_are_products_of_their_own(tokens, simd):
    rng, columns, first_rows, steps = np.random.default_rng(5), 96, [0, 36, 52, 72], [(0.03, 0.07), (0.05, 0.0), (0.02, 0.5)]
    buffers, weight = encode(normal(rng, 72, columns) / np.float32(columns**0.5), "m4")
    x, table, layout = near_whole_steps(rng, 0.03, tokens, columns), rounding_table(first_rows[:3], steps), QuadLayout(72, columns, "m4", simd)
    y = sentinels(tokens, 72)
    for part, (first, last) in enumerate(pairwise(first_rows)):
        rounding = Rounding(3, False, only=part)
        kernel = linear_kernel(tokens, last - first, columns, "m4", simd, rounding=rounding, rows_of=RowsOf(first, 72, first, 72))
        arrays = {"W": transposed(buffers[0], layout.paired), "S": buffers[-1], "STEPS": table, "STATE_WORDS": state_words(length=tokens, tokens=(0,) * tokens), "Y": y}
        y = run_cpu_kernel(kernel, arrays | inputs_of(x, layout, simd, rounding, table), [(0, 1), (1, kernel.items)], simd or SIMD128)["Y"]
    inputs, outputs = steps_by_row(first_rows[:3], steps, 72)
    assert_within(y, twins.linear(x, weight, None, 0.0, "none", CAP, x, inputs, outputs), bound_of(x.astype(np.float64), weight, inputs, outputs, "none", x))


@SIMDS
@TOKENS
@pytest.mark.parametrize(("epilogue", "first_rows"), [("gated", [0, 36]), ("gated_by", [0]), ("softcap", [0])])
def test_the_epilogue_comes_after_the_rounding(tokens, epilogue, first_rows, simd):
    check(tokens, 36, 96, "m4", simd, first_rows, [(0.03, 0.07), (0.03, 0.05)][: len(first_rows)], epilogue)


@SIMDS
@TOKENS
def test_halves_go_to_even_and_ends_are_kept(tokens, simd):
    step, columns = 0.25, 64
    counts = np.concatenate([np.arange(-4, 4) + 0.5, [-200, -128.5, -128, -127.5, 126.5, 127, 127.5, 128, 200]])
    x = np.zeros((tokens, columns), np.float32)
    x[:, : len(counts)] = counts * step
    buffers, weight = encode(np.eye(columns, dtype=np.float32), "m2")
    assert (weight == np.eye(columns)).all()
    y = run(x, columns, "m2", simd, [0], [(step, 0.0)], "none", buffers, x)
    np.testing.assert_array_equal(y, np.clip(np.rint(x.astype(np.float64) / step), -128, 127) * step)
