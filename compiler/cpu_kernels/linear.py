"""A matrix product with its epilogue: work items are rows of the result, for all tokens of the step."""
from dataclasses import dataclass

from tvm.script import tirx as T

from ..kernels.kernel import Parameter, ceil_div
from ..kernels.linear_common import linear_name
from ..kernels.needs import multiple_of
from ..kernels.rounding import Rounding
from ..state import STATE
from .cpu_kernel import CpuKernel
from .epilogue import epilogue_of, gate_in_passes, store_rows
from .product import ITEM_ROWS, Product
from .rounding import rounded4
from .weight_quads import QUAD, QuadLayout


@dataclass(frozen=True)
class RowsOf:
    """The kernel's rows among those of a larger W, and of a larger Y: `first`, and how many `held` there are in all."""

    first: int
    held: int
    y_first: int
    y_held: int


def linear_kernel(tokens: int, rows: int, columns: int, format: str, simd: str | None, x_stride: int | None = None, x_offset: int = 0,
                  epilogue: str = "none", cap: float = 0.0, other_stride: int = 0, other_offset: int = 0, rounding: Rounding | None = None,
                  rows_of: RowsOf | None = None) -> CpuKernel:
    """Y[M, N] = epilogue(X[M, K] W[N, K]^T). Epilogues as in compiler/kernels/linear_vector.py; `gated`: W has 2 N rows, gate's first.

    simd: RELAXED or SIMD128 for whole numbers (parameters X, QSCALES and, where weights have a zero, QSUMS, of `quantize_kernel`);
    None for float32 (parameter X, of which x_stride is a token's and x_offset what lies before its x). E: float32, `other` of `gated_by`.
    rounding: products round to the output's steps of STEPS (compiler/kernels/rounding.py), whose parts begin at multiples of 4; X has been rounded before.
    rows_of: where W and Y have more rows than these N. Rows of Y beyond the state's `length` hold values of no meaning. Raises KernelLimit where K or, of
    `gated`, N is no multiple of 4, or where the rows of W do not begin at one.
    """
    products = 2 if epilogue == "gated" else 1
    place = rows_of or RowsOf(0, products * rows, 0, rows)
    multiple_of("columns", columns, QUAD)
    multiple_of("rows before those of a product", place.first + (products - 1) * rows, QUAD)
    layout = QuadLayout(place.held, columns, format, simd)
    product = Product(layout, rows, products, tokens, simd)
    block, quads, sums, passes = product.block, product.quads, product.sums, product.passes
    finish, store = epilogue_of(epilogue, cap, quads), store_rows(rows)
    stride = columns if x_stride is None else x_stride
    step_words, whole = rounding.words if rounding else 1, tokens % block == 0
    name = linear_name(f"linear_{product.form}", rows, columns, format, epilogue, cap, rounding, m=tokens, s=stride if simd is None else 0,
                       o=x_offset, e=other_stride, eo=other_offset, w=place.first, wn=rows_of and place.held, y=place.y_first, yn=rows_of and place.y_held)

    @T.jit
    def func(w: T.handle("int32"), s: T.handle("uint32"), x: T.handle(product.x_type), qscales: T.handle("float32"), qsums: T.handle("int32"),
             steps: T.handle("float32"), e: T.handle("float32"), state_words: T.handle("int32"), y: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        W = T.decl_buffer((layout.data_units * 4,), "int32", data=w)
        S = T.decl_buffer((max(1, layout.scale_total),), "uint32", data=s)
        X = T.decl_buffer((product.x_size(tokens, stride),), product.x_type, data=x)
        QSCALES = T.decl_buffer((tokens * layout.groups,), "float32", data=qscales)
        QSUMS = T.decl_buffer((tokens * layout.groups,), "int32", data=qsums)
        STEPS = T.decl_buffer((step_words,), "float32", data=steps)
        E = T.decl_buffer((max(1, tokens * other_stride),), "float32", data=e)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        Y = T.decl_buffer((tokens * place.y_held,), "float32", data=y)
        acc = T.alloc_buffer((block * sums,), "float32x4", scope="local")
        starts = T.alloc_buffer((block,), "int32", scope="local")
        for number in T.unroll(passes):
            base: T.int32 = place.first + (passes - 1 - number) * rows
            for item in T.serial(last - first):
                for b in T.serial(1 if tokens == 1 else T.truncdiv(STATE_WORDS[STATE["length"]] + block - 1, block)):
                    for t in T.unroll(block):
                        # A chunk that is no multiple of the block repeats its last token, and stores it once.
                        starts[t] = product.start(b * block + t if whole else T.min(b * block + t, tokens - 1), stride, x_offset)
                    for part in T.serial(product.parts):
                        row0: T.int32 = (first + item) * ITEM_ROWS + part * (quads * QUAD)
                        product.reckon(W, S, X, QSCALES, QSUMS, acc, starts, base, row0, T.min(last, 0))
                        if rounding is not None:
                            for t in T.unroll(block):
                                for i in T.unroll(sums):
                                    row: T.int32 = base + row0 + i % quads * QUAD + i // quads * rows
                                    acc[t * sums + i] = rounded4(acc[t * sums + i], rounding.output_step(STEPS, row))
                        for t in T.unroll(block):
                            for i in T.unroll(quads):
                                row: T.int32 = row0 + i * QUAD
                                token: T.int32 = b * block + t
                                if row < rows and (whole or token < tokens):
                                    if passes > 1:
                                        gate_in_passes(number, acc, i, Y, row)
                                    else:
                                        finish(E, token * other_stride + other_offset + row, acc, t * sums + i)
                                        store(acc, t * sums + i, Y, token * place.y_held + place.y_first + row, row)

    others = [Parameter(key) for key, wanted in (("STEPS", rounding), ("E", epilogue == "gated_by")) if wanted]
    parameters = (*product.parameters(), *others, Parameter("STATE_WORDS"), Parameter("Y", written=True))
    return CpuKernel(name, func, ceil_div(rows, ITEM_ROWS), parameters, multiply_accumulates=tokens * products * rows * columns)
