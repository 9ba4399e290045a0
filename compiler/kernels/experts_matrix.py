"""Products by expert for a chunk: each expert's weights meet just the tokens that chose it.

A workgroup takes some of one expert's choices (COUNT and LIST, compiler/kernels/route.py) to several tiles of 32
rows; expert and tile of choices share the grid's second axis. Workgroups without choices do nothing.
"""
from tvm.script import tirx as T

from .experts_product import ExpertsProduct
from .experts_staged import experts_staged
from .half_tile import HALVES
from .kernel import ANY_EXTENT, SUBGROUPS, TILE, Kernel, Parameter, ceil_div
from .linear_matrix import PLAIN, QUADS
from .matrix_product import MatrixShape
from .matrix_tile import multiply_step, place_in_quad, steps
from .packed_tile import INTEGERS


def experts_matrix(tokens: int, experts: int, chosen: int, rows: int, columns: int, format: str, gated: bool) -> Kernel:
    """Y[M * chosen, N], a row a choice, float32.

    gated: W [experts * 2 N, K], Y = gelu(gate x) * (up x) with x [M, K] the token's; else W [experts * N, K], Y = W x with
    X [M * chosen, K] the choice's own. Variants: in integers and in float16 where the format allows it, and by quads of a subgroup.
    """
    product = ExpertsProduct(tokens, experts, chosen, rows, columns, format, gated)
    staged = [experts_staged(product, form) for form in (INTEGERS, HALVES) if form.takes(format)]
    return experts_float(product, PLAIN, False, (*staged, experts_float(product, QUADS, True)))


def experts_float(product: ExpertsProduct, shape: MatrixShape, quads: bool, variants: tuple[Kernel, ...] = ()) -> Kernel:
    """The product in float32, in a launch shape of its own."""
    shape = shape.fitted(product.tokens)
    layout, tokens, slots, tiles = product.layout, product.tokens, product.slots(shape), product.tiles(shape)
    multiply = multiply_step(layout, slots, shape.tokens, quads)
    row_of, store, grid = product.row_of(shape), product.store(shape), product.grid(shape)
    name = product.name("experts_matrix" + ("_quads" if quads else ""), shape)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((product.x_rows * product.columns // 4,), "float32x4"), COUNT: T.Buffer((product.experts,), "int32"),
             LIST: T.Buffer((product.experts * tokens,), "int32"), Y: T.Buffer((tokens * product.chosen * product.rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(grid[0], thread="blockIdx.x"):
            for by in T.thread_binding(grid[1], thread="blockIdx.y"):
                for ty in T.thread_binding(shape.slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        acc = T.alloc_buffer((slots * shape.tokens,), "float32", scope="local")
                        starts = T.alloc_buffer((shape.tokens,), "int32", scope="local")
                        expert: T.int32 = by // tiles
                        count: T.int32 = COUNT[expert]
                        if by % tiles * shape.tile_tokens < count:
                            for i in T.unroll(slots * shape.tokens):
                                acc[i] = T.float32(0)
                            first: T.int32 = by % tiles * shape.tile_tokens + ty * shape.tokens
                            for t in T.unroll(shape.tokens):
                                starts[t] = product.x_start(LIST[expert * tokens + T.min(first + t, count - 1)])
                            place: T.int32 = place_in_quad(tx) if quads else T.int32(0)
                            for step in T.serial(steps(layout, quads)):
                                multiply(W, S, X, acc, starts, place, lambda slot: row_of(expert, bx, slot, tx), step, None)
                            store(LIST, Y, acc, expert, count, bx, tx, first)

    return Kernel(name, func, grid, product.parameters, product.multiply_accumulates,
                  requires=(SUBGROUPS,) if quads else (), variants=variants)


def weighted_sum_kernel(tokens: int, chosen: int, width: int) -> Kernel:
    """Y[M, K] = sum over a token's choices of weight * X[choice]; X [M * chosen, K], weights from ROUTE. Float32."""
    vectors = width // 4
    threads = 64
    name = f"experts_weighted_sum_top{chosen}_k{width}"

    @T.jit
    def func(X: T.Buffer((ANY_EXTENT * chosen * vectors,), "float32x4"), ROUTE: T.Buffer((ANY_EXTENT * 2 * chosen,), "float32"),
             Y: T.Buffer((ANY_EXTENT * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(vectors, threads), thread="blockIdx.x"):
            for m in T.thread_binding(ANY_EXTENT, thread="blockIdx.y"):
                for tx in T.thread_binding(threads, thread="threadIdx.x"):
                    if bx * threads + tx < vectors:
                        total: T.float32x4 = T.Broadcast(T.float32(0), 4)
                        for k in T.serial(chosen):
                            total = total + X[(m * chosen + k) * vectors + bx * threads + tx] * T.Broadcast(
                                ROUTE[m * 2 * chosen + chosen + k], 4)
                        Y[m * vectors + bx * threads + tx] = total

    return Kernel(name, func, (ceil_div(vectors, threads), tokens),
                  (Parameter("X"), Parameter("ROUTE"), Parameter("Y", written=True)))
