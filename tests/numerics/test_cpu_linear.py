"""Matrix products of the CPU against their twin, in wasmtime: in float32, and in whole numbers with either instruction set."""
import numpy as np
import pytest

from compiler.cpu_kernels.cpu_kernel import RELAXED, SIMD128
from compiler.cpu_kernels.linear import linear_kernel
from compiler.cpu_kernels.quantize import HALVES, PAIRS, SEVENS, WORDS, form_for, quantize_kernel
from compiler.cpu_kernels.weight_quads import QuadLayout, prepare_kernel
from compiler.kernels import twins
from compiler.kernels.needs import KernelLimit
from compiler.quantize import FORMATS
from tests.fixtures import tolerances
from tests.fixtures.kernel_inputs import assert_within, encode, normal, sentinels, state_words
from tests.fixtures.native_wasm import run_cpu_kernel
from tests.fixtures.quads import groups_of, transposed, words_of

CAP = 30.0
WHOLE = [name for name in FORMATS if name not in ("f32", "f16", "bf16")]


@pytest.mark.parametrize("form,zero", [(PAIRS, 0), (HALVES, 8), (SEVENS, 8), (SEVENS, 0)])
@pytest.mark.parametrize("columns,group", [(640, 32), (100, 32), (128, 64)])
def test_quantize(form, zero, columns, group):
    rng = np.random.default_rng(1)
    x = normal(rng, 3, columns + 8) * np.float32(10) ** rng.integers(-3, 4, (3, 1)).astype(np.float32)
    x[1, :40] = 0
    kernel = quantize_kernel(3, columns, group, form, zero, columns + 8, 4)
    q, scales = groups_of(x[:, 4 : 4 + columns], group)
    arrays = {"X": x, "Q": np.zeros(q.size // 4 * WORDS, np.int32), "SCALES": np.zeros(scales.size, np.float32), "SUMS": np.zeros(scales.size, np.int32)}
    # The very same float32 operations, so bit for bit: relaxed SIMD would fuse a product with a sum, and fall the other way at a tie.
    found = run_cpu_kernel(kernel, arrays, [(0, 2), (2, scales.size)], SIMD128)
    assert (found["Q"] == words_of(q, form, zero)).all()
    assert (found["SCALES"] == scales.reshape(-1)).all()
    if zero:
        assert (found["SUMS"] == -zero * q.sum(axis=2).reshape(-1)).all()


@pytest.mark.parametrize("paired", [False, True])
def test_prepare(paired):
    data = np.random.default_rng(2).integers(0, 256, 64 * 130, dtype=np.uint8)
    found = run_cpu_kernel(prepare_kernel(4 * 130, paired), {"W": data.copy()}, [(0, 1), (1, 3)])["W"]
    assert (found.view(np.uint32) == transposed(data, paired)).all()


def run_linear(tokens: int, rows: int, columns: int, format: str, simd: str | None, epilogue: str = "none", length: int | None = None):
    """y, and what the twin makes of the same numbers, with the bound between them."""
    rng = np.random.default_rng(rows * 1000 + columns)
    buffers, weight = encode(normal(rng, (2 if epilogue == "gated" else 1) * rows, columns) / np.float32(columns**0.5), format)
    length = tokens if length is None else length
    x, other = normal(rng, tokens, columns), normal(rng, tokens, rows + 8)
    layout = QuadLayout(weight.shape[0], columns, format, simd)
    arrays = {"W": transposed(buffers[0], layout.paired), "S": buffers[-1], "E": other, "STATE_WORDS": state_words(length=length, tokens=(0,) * tokens),
              "Y": sentinels(tokens, rows)}
    if simd is None:
        arrays["X"] = x
    else:
        form = form_for(simd, format)
        q, scales = groups_of(x, layout.group)
        arrays |= {"X": words_of(q, form, layout.zero), "QSCALES": scales, "QSUMS": -layout.zero * q.sum(axis=2, dtype=np.int32)}
        x = (q * scales[:, :, None].astype(np.float64)).reshape(tokens, -1)[:, :columns]
    kernel = linear_kernel(tokens, rows, columns, format, simd, epilogue=epilogue, cap=CAP, other_stride=rows + 8, other_offset=8)
    middle = kernel.items // 3
    y = run_cpu_kernel(kernel, arrays, [(0, middle), (middle, kernel.items)], simd or SIMD128)["Y"]
    factor = {"epilogue": epilogue, "cap": CAP, "other": other[:, 8:]}
    expected = twins.linear(x, weight, **factor)
    # Whole numbers add up without error, so that the float32 bound of as many sums is more than what remains.
    bound = tolerances.after(epilogue, twins.linear(x, weight), tolerances.product(x, weight), other[:, 8:], CAP)
    return y[:length], expected[:length], bound[:length]


@pytest.mark.parametrize("format", FORMATS)
# Rows beside a work item's, and none of a multiple of four.
@pytest.mark.parametrize("tokens,rows,columns", [(1, 48, 640), (8, 100, 100), (1, 69, 100), (7, 11, 36)])
def test_float(format, tokens, rows, columns):
    assert_within(*run_linear(tokens, rows, columns, format, None, length=min(tokens, 6)))


@pytest.mark.parametrize("simd", [RELAXED, SIMD128])
@pytest.mark.parametrize("format", WHOLE)
@pytest.mark.parametrize("tokens,rows,columns", [(1, 48, 640), (8, 100, 128), (1, 69, 100), (7, 11, 36)])
def test_whole_numbers(format, simd, tokens, rows, columns):
    assert_within(*run_linear(tokens, rows, columns, format, simd, length=min(tokens, 6)))


@pytest.mark.parametrize("simd", [RELAXED, None])
@pytest.mark.parametrize("tokens", [1, 4])
@pytest.mark.parametrize("epilogue", ["gated", "gated_by", "softcap"])
def test_epilogues(epilogue, tokens, simd):
    assert_within(*run_linear(tokens, 36, 64, "q8", simd, epilogue))


@pytest.mark.parametrize("simd", [RELAXED, None])
def test_logits_of_an_odd_vocabulary_are_capped_to_the_last(simd):
    assert_within(*run_linear(1, 517, 64, "q8", simd, "softcap"))


@pytest.mark.parametrize(("arguments", "named"), [((1, 35, 64, "q8", "gated"), "35 rows before those of a product"), ((1, 35, 66, "q8", "none"), "66 columns")])
def test_what_has_no_code_is_refused(arguments, named):
    tokens, rows, columns, format, epilogue = arguments
    with pytest.raises(KernelLimit, match=f"{named}; expected a multiple of 4"):
        linear_kernel(tokens, rows, columns, format, None, epilogue=epilogue)

