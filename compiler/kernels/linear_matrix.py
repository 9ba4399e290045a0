"""Matrix-matrix product Y = X W^T with quantized W: the work of a prefill chunk.

A thread owns a row in each of several tiles of 32 rows of W, and several tokens; its sums stay in registers. Tiles of
tokens that lie wholly beyond the chunk's `length` are skipped. What tells one size of chunk from another is the launch's grid alone.
"""
from tvm.script import tirx as T

from ..state import STATE
from .half_tile import HALVES
from .kernel import ANY_EXTENT, SOFTWARE, SUBGROUPS, TILE, Kernel
from .linear_common import row_of
from .linear_staged import linear_staged
from .matrix_product import MatrixProduct, MatrixShape
from .matrix_tile import multiply_step, place_in_quad, steps as column_steps
from .packed_tile import INTEGERS
from .position import last_row
from .rounding import Rounding, whole_steps

PLAIN = MatrixShape(rows=8, tokens=8, slices=4)
# A workgroup's threads share their tokens here, so that a quad does, whichever threads make it up.
QUADS = MatrixShape(rows=8, tokens=8, slices=1)
# For few cores, each of which runs many threads: loads count there and registers do not. Where a thread has few registers, it has too many sums.
WIDE = MatrixShape(rows=16, tokens=16, slices=1)
# Tiles of tokens from which on a chunk is worth it: the last tile may be all but empty.
WORTH_WIDE = 8


def linear_matrix(tokens: int, rows: int, columns: int, format: str, x_stride: int | None = None, x_offset: int = 0,
                  epilogue: str = "none", cap: float = 0.0, other_stride: int = 0, rounding: Rounding | None = None,
                  alone: bool = False) -> Kernel:
    """Y[M, N] = epilogue(X[M, K] W[N, K]^T), all activations float32.

    x_stride, x_offset: values from one token's x to the next, and before the first (multiples of 4). Epilogues and rounding as
    in `linear_vector`; other_stride: values from one token's E to the next. Rows of Y beyond the state's `length` are left as they were or hold
    values of no meaning. Variants: in integers and in float16 where the format allows it, and by quads of a subgroup, for a large chunk in two shapes.
    `alone`: none, and one kernel for chunks of all sizes, where there is one for each with variants, since a variant has one grid.
    """
    product = MatrixProduct(tokens, rows, columns, format, columns if x_stride is None else x_stride, x_offset, epilogue, cap,
                            other_stride, rounding)
    if alone:
        return linear_float(product, "linear_matrix", PLAIN)
    staged = [linear_staged(product, form) for form in (INTEGERS, HALVES) if form.takes(format, rounding)]
    wide = (linear_float(product, "linear_matrix_quads", WIDE, (SUBGROUPS, SOFTWARE)),) if tokens >= WORTH_WIDE * WIDE.tokens else ()
    quads = linear_float(product, "linear_matrix_quads", QUADS, (SUBGROUPS,))
    return linear_float(product, "linear_matrix", PLAIN, variants=(*staged, *wide, quads))


def linear_float(product: MatrixProduct, kind: str, shape: MatrixShape, requires: tuple[str, ...] = (), variants: tuple[Kernel, ...] = ()) -> Kernel:
    """The product in float32, in a launch shape of its own; the name of its shader begins with `kind`."""
    quads = SUBGROUPS in requires
    layout, products, rounding, tokens = product.layout, product.products, product.rounding, product.tokens
    slots = products * shape.row_tiles(product.rows, products)
    row_at = row_of(product.rows, slots // products, products)
    by_slot = rounding is not None and not rounding.one_input
    multiply, store = multiply_step(layout, slots, shape.tokens, quads, by_slot), product.store(shape)
    grid = product.grid(shape)
    name = product.name(kind, shape)

    def prepared(steps):
        return (lambda x, slot: whole_steps(x, steps[slot])) if rounding is not None else None

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             A: T.Buffer((product.step_words,), "float32"), X: T.Buffer((product.tokens * product.x_stride // 4,), "float32x4"),
             E: T.Buffer((max(1, product.tokens * product.other_stride),), "float32"), PLACE: T.Buffer((1,), "int32"),
             STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"), Y: T.Buffer((product.tokens * product.rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(grid[0], thread="blockIdx.x"):
            for by in T.thread_binding(ANY_EXTENT, thread="blockIdx.y"):
                for ty in T.thread_binding(shape.slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        acc = T.alloc_buffer((slots * shape.tokens,), "float32", scope="local")
                        steps = T.alloc_buffer((slots,), "float32", scope="local")
                        starts = T.alloc_buffer((shape.tokens,), "int32", scope="local")
                        token0: T.int32 = by * shape.tile_tokens + ty * shape.tokens
                        if token0 < STATE_WORDS[STATE["length"]]:
                            for i in T.unroll(slots * shape.tokens):
                                acc[i] = T.float32(0)
                            for t in T.unroll(shape.tokens):
                                starts[t] = (T.min(token0 + t, last_row(STATE_WORDS)) * product.x_stride + product.x_offset) // 4
                            place: T.int32 = place_in_quad(tx) if quads else T.int32(0)
                            if rounding is not None:
                                for i in T.unroll(slots):
                                    steps[i] = rounding.input_step(A, row_at(bx, i) + tx)
                            for step in T.serial(column_steps(layout, quads)):
                                multiply(W, S, X, acc, starts, place, lambda slot: row_at(bx, slot) + tx, step, prepared(steps))
                            store(A, E, PLACE, Y, acc, steps, bx, tx, token0, STATE_WORDS[STATE["length"]], row_at)

    return Kernel(f"{name}_m{tokens}" if variants or requires else name, func, grid, product.parameters, product.multiply_accumulates, requires=requires,
                  variants=variants, code=name)
