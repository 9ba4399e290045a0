"""A matrix product with its epilogue: work items are 16 rows of the result, for all tokens of the step.

Weights stream from memory once: for one token they are all that counts; for a chunk a work item's rows stay in the cache while
token after token passes them, four at a time.
"""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, ceil_div
from ..kernels.linear_common import linear_name
from ..state import STATE
from .cpu_kernel import CpuKernel
from .epilogue import epilogue_of
from .product import float_product, integer_product
from .quantize import WORDS, form_for
from .weight_quads import QUAD, QuadLayout

ITEM_ROWS = 16
TOKENS = 4  # of a chunk, at a time
VECTORS = 8  # of sums that are kept in registers


def linear_kernel(tokens: int, rows: int, columns: int, format: str, simd: str | None, x_stride: int | None = None, x_offset: int = 0,
                  epilogue: str = "none", cap: float = 0.0, other_stride: int = 0, other_offset: int = 0) -> CpuKernel:
    """Y[M, N] = epilogue(X[M, K] W[N, K]^T). Epilogues as in compiler/kernels/linear_vector.py; `gated`: W has 2 N rows, gate's first.

    simd: RELAXED or SIMD128 for whole numbers (parameters X, QSCALES and, where weights have a zero, QSUMS, of `quantize_kernel`);
    None for float32 (parameter X, of which x_stride is a token's and x_offset what lies before its x). E: float32, `other` of `gated_by`.
    N is a multiple of 4. Rows of Y beyond the state's `length` hold values of no meaning.
    """
    layout = QuadLayout((2 if epilogue == "gated" else 1) * rows, columns, format)
    products = 2 if epilogue == "gated" else 1
    block = min(tokens, TOKENS)
    quads = min(ITEM_ROWS // QUAD, VECTORS // block) // products  # of the result, at a time
    slots = quads * products
    form = None if simd is None else form_for(layout, simd)
    add_integer = None if simd is None else integer_product(layout, slots, block, form)
    add_float = float_product(layout, slots, block)
    finish = epilogue_of(epilogue, cap)
    stride = columns if x_stride is None else x_stride
    words = 0 if simd is None else tokens * layout.groups * layout.vectors * WORDS[form]
    name = linear_name("linear" if simd is None else f"linear_{form}", rows, columns, format, epilogue, cap, None, m=tokens, s=stride if simd is None else 0,
                       o=x_offset, e=other_stride, eo=other_offset)
    start_of = (lambda token: token * layout.groups) if simd else (lambda token: token * stride + x_offset)

    @T.inline
    def product(W, S, X, QSCALES, QSUMS, acc, starts, rows_at):
        for group in T.serial(layout.groups):
            if simd is None:
                add_float(W, S, X, acc, rows_at, starts, group)
            else:
                add_integer(W, S, X, QSCALES, QSUMS, acc, rows_at, starts, group)

    @T.jit
    def func(w: T.handle("int32"), s: T.handle("uint32"), x: T.handle("float32" if simd is None else "int32"), qscales: T.handle("float32"),
             qsums: T.handle("int32"), e: T.handle("float32"), state_words: T.handle("int32"), y: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        W = T.decl_buffer((layout.data_units * 4,), "int32", data=w)
        S = T.decl_buffer((max(1, layout.scale_total),), "uint32", data=s)
        X = T.decl_buffer((max(words, tokens * stride),), "float32" if simd is None else "int32", data=x)
        QSCALES = T.decl_buffer((tokens * layout.groups,), "float32", data=qscales)
        QSUMS = T.decl_buffer((tokens * layout.groups,), "int32", data=qsums)
        E = T.decl_buffer((max(1, tokens * other_stride),), "float32", data=e)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        Y = T.decl_buffer((tokens * rows,), "float32", data=y)
        acc = T.alloc_buffer((block * slots,), "float32x4", scope="local")
        starts = T.alloc_buffer((block,), "int32", scope="local")
        rows_at = T.alloc_buffer((slots,), "int32", scope="local")
        for item in T.serial(last - first):
            for b in T.serial(1 if tokens == 1 else T.truncdiv(STATE_WORDS[STATE["length"]] + block - 1, block)):
                for t in T.unroll(block):
                    starts[t] = start_of(b * block + t)
                # Few rows at a time, since their sums should stay in registers; a block's activations stay in the cache meanwhile.
                for part in T.serial(ITEM_ROWS // QUAD // quads):
                    row0: T.int32 = (first + item) * ITEM_ROWS + part * (quads * QUAD)
                    for i in T.unroll(slots):
                        # What stands beyond N is padding of the last tile, or a second matrix: computed, and not stored.
                        rows_at[i] = T.min(row0 + i // products * QUAD, rows - QUAD) + i % products * rows
                    for i in T.unroll(block * slots):
                        acc[i] = T.Broadcast(T.float32(0), 4)
                    product(W, S, X, QSCALES, QSUMS, acc, starts, rows_at)
                    for t in T.unroll(block):
                        for i in T.unroll(quads):
                            if row0 + i * QUAD < rows:
                                token: T.int32 = b * block + t
                                finish(E, token * other_stride + other_offset + row0 + i * QUAD, acc, t * slots + i * products, Y, token * rows + row0 + i * QUAD)

    present = [("W", True), ("S", layout.has_scale), ("X", True), ("QSCALES", simd is not None), ("QSUMS", simd is not None and layout.zero != 0),
               ("E", epilogue == "gated_by"), ("STATE_WORDS", True)]
    parameters = (*(Parameter(key) for key, wanted in present if wanted), Parameter("Y", written=True))
    return CpuKernel(name, func, ceil_div(rows, ITEM_ROWS), parameters, multiply_accumulates=tokens * layout.rows * columns)
