"""Products by expert for a chunk: each expert's weights meet just the tokens that chose it.

A workgroup makes up to 32 of one expert's choices (COUNT and LIST, compiler/kernels/route.py) by up to four tiles of 32
rows; expert and tile of choices share the grid's second axis. Workgroups without choices do nothing.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu
from .kernel import TILE, Kernel, Parameter, ceil_div
from .matrix_tile import ROWS_A_THREAD, TOKENS_A_THREAD, multiply_group


def experts_matrix(tokens: int, experts: int, chosen: int, rows: int, columns: int, format: str, gated: bool) -> Kernel:
    """Y[M * chosen, N], a row a choice, float32.

    gated: W [experts * 2 N, K], Y = gelu(gate x) * (up x) with x [M, K] the token's; else W [experts * N, K], Y = W x with
    X [M * chosen, K] the choice's own.
    """
    products = 2 if gated else 1
    layout = WeightLayout(experts * products * rows, columns, format)
    row_tiles = max(1, min(ROWS_A_THREAD // products, ceil_div(rows, TILE)))
    slots = products * row_tiles
    tile_tokens = min(32, ceil_div(tokens, TOKENS_A_THREAD) * TOKENS_A_THREAD)
    slices = tile_tokens // TOKENS_A_THREAD
    tiles = ceil_div(tokens, tile_tokens)
    threads, staged = TILE * slices, tile_tokens * layout.vectors
    x_rows, choices_a_row = (tokens, chosen) if gated else (tokens * chosen, 1)
    multiply = multiply_group(layout, slots)
    name = f"experts_matrix_m{tokens}_{format}_e{experts}_top{chosen}_n{rows}_k{columns}" + ("_gated" if gated else "")

    @T.inline
    def stage(X, LIST, xs, group, expert, first, count, thread):
        for i in T.serial(ceil_div(staged, threads)):
            at: T.int32 = i * threads + thread
            if at < staged:
                choice: T.int32 = first + at // layout.vectors
                k4: T.int32 = group * layout.vectors + at % layout.vectors
                if choice < count and k4 < columns // 4:
                    xs[at] = X[LIST[expert * tokens + choice] // choices_a_row * (columns // 4) + k4]
                else:
                    xs[at] = T.Broadcast(T.float32(0), 4)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((x_rows * columns // 4,), "float32x4"), COUNT: T.Buffer((experts,), "int32"),
             LIST: T.Buffer((experts * tokens,), "int32"), Y: T.Buffer((tokens * chosen * rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE * row_tiles), thread="blockIdx.x"):
            for by in T.thread_binding(experts * tiles, thread="blockIdx.y"):
                for ty in T.thread_binding(slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        xs = T.alloc_buffer((staged,), "float32x4", scope="shared")
                        acc = T.alloc_buffer((slots * TOKENS_A_THREAD,), "float32", scope="local")
                        expert: T.int32 = by // tiles
                        first: T.int32 = by % tiles * tile_tokens
                        count: T.int32 = COUNT[expert]
                        if first < count:
                            for i in T.unroll(slots * TOKENS_A_THREAD):
                                acc[i] = T.float32(0)
                            for group in T.serial(layout.groups):
                                T.tvm_storage_sync("shared")
                                stage(X, LIST, xs, group, expert, first, count, ty * TILE + tx)
                                T.tvm_storage_sync("shared")
                                # Threads beyond N stay on the expert's last row: its neighbour need not exist.
                                multiply(W, S, xs, acc, lambda slot: expert * (products * rows) + slot % products * rows + T.min(
                                    (bx * row_tiles + slot // products) * TILE + tx, rows - 1), group, ty * TOKENS_A_THREAD, None)
                            for t in T.unroll(TOKENS_A_THREAD):
                                for i in T.unroll(row_tiles):
                                    choice: T.int32 = first + ty * TOKENS_A_THREAD + t
                                    row: T.int32 = (bx * row_tiles + i) * TILE + tx
                                    if row < rows and choice < count:
                                        y = T.meta_var(acc[i * products * TOKENS_A_THREAD + t])
                                        if gated:
                                            Y[LIST[expert * tokens + choice] * rows + row] = (
                                                gelu(y) * acc[(i * products + 1) * TOKENS_A_THREAD + t])
                                        else:
                                            Y[LIST[expert * tokens + choice] * rows + row] = y

    scale = [Parameter("S")] if layout.has_scale else []
    return Kernel(name, func, (ceil_div(rows, TILE * row_tiles), experts * tiles),
                  (Parameter("W"), *scale, Parameter("X"), Parameter("COUNT"), Parameter("LIST"), Parameter("Y", written=True)),
                  tokens * chosen * products * rows * columns)


def weighted_sum_kernel(tokens: int, chosen: int, width: int) -> Kernel:
    """Y[M, K] = sum over a token's choices of weight * X[choice]; X [M * chosen, K], weights from ROUTE. Float32."""
    vectors = width // 4
    threads = 64
    name = f"experts_weighted_sum_m{tokens}_top{chosen}_k{width}"

    @T.jit
    def func(X: T.Buffer((tokens * chosen * vectors,), "float32x4"), ROUTE: T.Buffer((tokens * 2 * chosen,), "float32"),
             Y: T.Buffer((tokens * vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(vectors, threads), thread="blockIdx.x"):
            for m in T.thread_binding(tokens, thread="blockIdx.y"):
                for tx in T.thread_binding(threads, thread="threadIdx.x"):
                    if bx * threads + tx < vectors:
                        total: T.float32x4 = T.Broadcast(T.float32(0), 4)
                        for k in T.serial(chosen):
                            total = total + X[(m * chosen + k) * vectors + bx * threads + tx] * T.Broadcast(
                                ROUTE[m * 2 * chosen + chosen + k], 4)
                        Y[m * vectors + bx * threads + tx] = total

    return Kernel(name, func, (ceil_div(vectors, threads), tokens),
                  (Parameter("X"), Parameter("ROUTE"), Parameter("Y", written=True)))
