"""Products by expert for one token: only the chosen experts' rows of the weights are read.

The experts' matrices lie one below the other as one matrix; ROUTE (compiler/kernels/route.py) says where to start.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu
from .kernel import TILE, Kernel, Parameter, ceil_div
from .vector_tile import add_group, sum_splits

SPLITS = 4


def experts_gated_vector(experts: int, chosen: int, rows: int, columns: int, format: str) -> Kernel:
    """Y[chosen, N] = gelu(gate x) * (up x) of each chosen expert, x[K]; W [experts * 2 N, K]: gate's rows, then up's."""
    layout = WeightLayout(experts * 2 * rows, columns, format)
    splits = min(SPLITS, layout.groups)
    add, total = add_group(layout, 2), sum_splits(splits, 2, TILE)
    name = f"experts_gated_vector_{format}_e{experts}_top{chosen}_n{rows}_k{columns}"

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((columns // 4,), "float32x4"), ROUTE: T.Buffer((2 * chosen,), "float32"),
             Y: T.Buffer((chosen * rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE), thread="blockIdx.x"):
            for choice in T.thread_binding(chosen, thread="blockIdx.y"):
                for ty in T.thread_binding(splits, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        acc = T.alloc_buffer((2,), "float32", scope="local")
                        partial = T.alloc_buffer((splits * TILE * 2,), "float32", scope="shared")
                        row: T.int32 = bx * TILE + tx
                        # Threads beyond N stay on the expert's last row: its neighbour need not exist.
                        first: T.int32 = T.Cast("int32", ROUTE[choice]) * (2 * rows) + T.min(row, rows - 1)
                        acc[0] = T.float32(0)
                        acc[1] = T.float32(0)
                        for i in T.serial(ceil_div(layout.groups, splits)):
                            if i * splits + ty < layout.groups:
                                add(W, S, X, X, acc, lambda slot: first + slot * rows, 0, i * splits + ty, None)
                        total(acc, partial, ty, tx)
                        if ty == 0 and row < rows:
                            Y[choice * rows + row] = gelu(acc[0]) * acc[1]

    return Kernel(name, func, (ceil_div(rows, TILE), chosen), expert_parameters(layout, chosen * 2 * rows, 4 * columns),
                  chosen * 2 * rows * columns)


def experts_sum_vector(experts: int, chosen: int, rows: int, columns: int, format: str) -> Kernel:
    """y[N] = sum over the chosen experts of weight * (W_expert x[choice]); X [chosen, K], W [experts * N, K]."""
    layout = WeightLayout(experts * rows, columns, format)
    splits = min(SPLITS, layout.groups)
    add, total = add_group(layout, 1), sum_splits(splits, 1, TILE)
    name = f"experts_sum_vector_{format}_e{experts}_top{chosen}_n{rows}_k{columns}"

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((chosen * columns // 4,), "float32x4"), ROUTE: T.Buffer((2 * chosen,), "float32"),
             Y: T.Buffer((rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE), thread="blockIdx.x"):
            for ty in T.thread_binding(splits, thread="threadIdx.y"):
                for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                    acc = T.alloc_buffer((1,), "float32", scope="local")
                    own = T.alloc_buffer((1,), "float32", scope="local")
                    partial = T.alloc_buffer((splits * TILE,), "float32", scope="shared")
                    row: T.int32 = bx * TILE + tx
                    acc[0] = T.float32(0)
                    for choice in T.serial(chosen):
                        first: T.int32 = T.Cast("int32", ROUTE[choice]) * rows + T.min(row, rows - 1)
                        own[0] = T.float32(0)
                        for i in T.serial(ceil_div(layout.groups, splits)):
                            if i * splits + ty < layout.groups:
                                add(W, S, X, X, own, lambda slot: first, choice * (columns // 4), i * splits + ty, None)
                        acc[0] = acc[0] + own[0] * ROUTE[chosen + choice]
                    total(acc, partial, ty, tx)
                    if ty == 0 and row < rows:
                        Y[row] = acc[0]

    return Kernel(name, func, (ceil_div(rows, TILE), 1), expert_parameters(layout, chosen * rows, 4 * chosen * columns),
                  chosen * rows * columns)


def expert_parameters(layout: WeightLayout, rows_read: int, x_bytes: int) -> tuple[Parameter, ...]:
    """W [S] X ROUTE Y; of the weights, `rows_read` rows are read."""
    scale = [Parameter("S", bytes_moved=rows_read * layout.scale_words * 4)] if layout.has_scale else []
    return (Parameter("W", bytes_moved=rows_read * layout.units * 16), *scale, Parameter("X", bytes_moved=x_bytes),
            Parameter("ROUTE"), Parameter("Y", written=True))
