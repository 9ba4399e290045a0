"""`experts_matrix` with rounded activations, for devices that multiply int8 or float16 faster."""
from tvm.script import tirx as T

from .experts_product import ExpertsProduct
from .kernel import TILE, Kernel
from .linear_staged import SHAPE
from .staged_form import StagedForm


def experts_staged(product: ExpertsProduct, form: StagedForm) -> Kernel:
    """The product of a format that the form takes; the parameters are those of `experts_matrix`."""
    shape = SHAPE.fitted(product.tokens)
    layout, tokens, columns = product.layout, product.tokens, product.columns
    slots, tile_tokens = product.slots(shape), shape.tile_tokens
    tiles = product.tiles(shape)
    round_all, multiply = form.round_stage(layout, tile_tokens, TILE * shape.slices, None), form.multiply_stage(layout, slots, shape.tokens)
    row_of, store, name, grid = product.row_of(shape), product.store(shape), product.name(f"experts_{form.name}", shape), product.grid(shape)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((product.x_rows * columns // 4,), "float32x4"), COUNT: T.Buffer((product.experts,), "int32"),
             LIST: T.Buffer((product.experts * tokens,), "int32"), Y: T.Buffer((tokens * product.chosen * product.rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(grid[0], thread="blockIdx.x"):
            for by in T.thread_binding(grid[1], thread="blockIdx.y"):
                for ty in T.thread_binding(shape.slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        words = T.alloc_buffer((tile_tokens * form.stage_groups * form.vectors,), form.vector, scope="shared")
                        sizes = T.alloc_buffer((tile_tokens * form.stage_groups,), "float32", scope="shared")
                        acc = T.alloc_buffer((slots * shape.tokens,), "float32", scope="local")
                        expert: T.int32 = by // tiles
                        count: T.int32 = COUNT[expert]
                        first: T.int32 = by % tiles * tile_tokens
                        if first < count:
                            for i in T.unroll(slots * shape.tokens):
                                acc[i] = T.float32(0)
                            for stage in T.serial(form.stages(layout)):
                                T.tvm_storage_sync("shared")
                                round_all(X, X, words, sizes, stage, ty * TILE + tx, lambda token: product.x_start(
                                    LIST[expert * tokens + T.min(first + token, count - 1)]))
                                T.tvm_storage_sync("shared")
                                multiply(W, S, words, sizes, acc, lambda slot: row_of(expert, bx, slot, tx), ty * shape.tokens, stage)
                            store(LIST, Y, acc, expert, count, bx, tx, first + ty * shape.tokens)

    return Kernel(name, func, grid, product.parameters, product.multiply_accumulates, requires=(form.requires,), exact=False)
