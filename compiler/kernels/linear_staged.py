"""Matrix-matrix product Y = X W^T with rounded activations: `linear_matrix` for devices that multiply int8 or float16 faster.

The numbers differ a little from the float form: activations are rounded in groups of 32, like the weights.
"""
from tvm.script import tirx as T

from ..state import STATE
from .kernel import ANY_EXTENT, TILE, Kernel
from .linear_common import row_of
from .matrix_product import MatrixProduct, MatrixShape
from .position import last_row
from .staged_form import StagedForm

SHAPE = MatrixShape(rows=4, tokens=8, slices=4)


def linear_staged(product: MatrixProduct, form: StagedForm) -> Kernel:
    """The product of a format that the form takes; the parameters are those of `linear_matrix`."""
    shape = SHAPE.fitted(product.tokens)
    layout, products, rounding, tokens = product.layout, product.products, product.rounding, product.tokens
    slots, tile_tokens = products * shape.row_tiles(product.rows, products), shape.tile_tokens
    row_at = row_of(product.rows, slots // products, products)
    round_all, multiply = form.round_stage(layout, tile_tokens, TILE * shape.slices, rounding), form.multiply_stage(layout, slots, shape.tokens)
    store, grid, name = product.store(shape), product.grid(shape), product.name(f"linear_{form.name}", shape)

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
                        words = T.alloc_buffer((tile_tokens * form.stage_groups * form.vectors,), form.vector, scope="shared")
                        sizes = T.alloc_buffer((tile_tokens * form.stage_groups,), "float32", scope="shared")
                        acc = T.alloc_buffer((slots * shape.tokens,), "float32", scope="local")
                        steps = T.alloc_buffer((slots,), "float32", scope="local")
                        if by * tile_tokens < STATE_WORDS[STATE["length"]]:
                            for i in T.unroll(slots * shape.tokens):
                                acc[i] = T.float32(0)
                            if rounding is not None:
                                for i in T.unroll(slots):
                                    steps[i] = rounding.input_step(A, row_at(bx, i) + tx)
                            for stage in T.serial(form.stages(layout)):
                                T.tvm_storage_sync("shared")
                                round_all(A, X, words, sizes, stage, ty * TILE + tx, lambda token: (
                                    T.min(by * tile_tokens + token, last_row(STATE_WORDS)) * product.x_stride + product.x_offset) // 4)
                                T.tvm_storage_sync("shared")
                                multiply(W, S, words, sizes, acc, lambda slot: row_at(bx, slot) + tx, ty * shape.tokens, stage)
                            store(A, E, PLACE, Y, acc, steps, bx, tx, by * tile_tokens + ty * shape.tokens, STATE_WORDS[STATE["length"]], row_at)

    return Kernel(f"{name}_m{tokens}", func, grid, product.parameters, product.multiply_accumulates, requires=(form.requires,), exact=False, code=name)
