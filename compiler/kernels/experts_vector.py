"""Products by expert for one token: only the chosen experts' rows of the weights are read.

The experts' matrices lie one below the other as one matrix. The first product chooses: each workgroup ranks the router's
scores again, which is quicker than a launch, and one of them leaves the choice in ROUTE for the second product.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu
from .kernel import TILE, Kernel, Parameter, ceil_div, number_name
from .vector_input import StagedInput, VectorInput
from .vector_tile import add_group, sum_splits

SPLITS = 4


def choose_experts(experts: int, chosen: int, threads: int, per_expert: int):
    """Inline (SCORES, V, ROUTE, scores, best, block, choice, thread): best (workgroup int32[chosen]) are the experts with the highest
    scores, the best first, of equal ones the lower number. ROUTE float32 [2 * chosen], as in `route_kernel`, is left by block 0 of choice 0.
    scores: workgroup float32[experts]. per_expert: where the experts' own scales start in V, in values.
    """

    @T.inline
    def choose(SCORES, V, ROUTE, scores, best, block, choice, thread):
        scale = T.alloc_buffer((4,), "float32", scope="local")
        for i in T.serial(ceil_div(experts, threads)):
            if i * threads + thread < experts:
                scores[i * threads + thread] = SCORES[i * threads + thread]
        T.tvm_storage_sync("shared")
        for i in T.serial(ceil_div(experts, threads)):
            expert: T.int32 = i * threads + thread
            if expert < experts:
                rank: T.int32 = 0
                for other in T.serial(experts):
                    above = T.meta_var(T.Or(scores[other] > scores[expert], T.And(scores[other] == scores[expert], other < expert)))
                    rank = rank + T.Select(above, 1, 0)
                if rank < chosen:
                    best[rank] = expert
        T.tvm_storage_sync("shared")
        if block == 0 and choice == 0 and thread < chosen:
            # The softmax's own sum cancels against the sum over the chosen.
            mass: T.float32 = T.float32(0)
            for k in T.serial(chosen):
                mass = mass + T.exp(scores[best[k]] - scores[best[0]])
            own = T.meta_var(best[thread])
            scale[T.Ramp(0, 1, 4)] = V[per_expert // 4 + own // 4]
            ROUTE[thread] = T.Cast("float32", own)
            ROUTE[chosen + thread] = T.exp(scores[own] - scores[best[0]]) / mass * scale[own % 4]

    return choose


def experts_gated_vector(experts: int, chosen: int, rows: int, columns: int, format: str, eps: float) -> Kernel:
    """Y[chosen, N] = gelu(gate x) * (up x) of each chosen expert, x = rms_norm(X) G, [K]; W [experts * 2 N, K]: gate's rows, then up's.

    SCORES [experts]: the router's. V: G, then a scale for each expert. ROUTE: see `choose_experts`.
    """
    layout = WeightLayout(experts * 2 * rows, columns, format)
    splits = min(SPLITS, layout.groups)
    threads = splits * TILE
    staged_input = StagedInput(VectorInput(norm=eps), columns, layout.groups * layout.group, threads)
    chunk_groups = staged_input.chunk // layout.group
    add, total, choose = add_group(layout, 2, padded=True), sum_splits(splits, 1, 2), choose_experts(experts, chosen, threads, columns)
    prepare, stage = staged_input.prepare(), staged_input.stage()
    name = f"experts_gated_vector_{format}_e{experts}_top{chosen}_n{rows}_k{columns}_{number_name('norm', eps)}"

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((columns // 4,), "float32x4"), V: T.Buffer((ceil_div(columns + experts, 4),), "float32x4"), SCORES: T.Buffer((experts,), "float32"),
             Y: T.Buffer((chosen * rows,), "float32"), ROUTE: T.Buffer((2 * chosen,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE), thread="blockIdx.x"):
            for choice in T.thread_binding(chosen, thread="blockIdx.y"):
                for ty in T.thread_binding(splits, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        staged = T.alloc_buffer((staged_input.chunk // 4,), "float32x4", scope="shared")
                        partial = T.alloc_buffer((threads * 2,), "float32", scope="shared")
                        scores = T.alloc_buffer((experts,), "float32", scope="shared")
                        best = T.alloc_buffer((chosen,), "int32", scope="shared")
                        acc = T.alloc_buffer((2,), "float32", scope="local")
                        factors = T.alloc_buffer((4,), "float32", scope="local")
                        thread: T.int32 = ty * TILE + tx
                        row: T.int32 = bx * TILE + tx
                        # In use from here on: else TVM might give it the memory of `staged`, which has another type.
                        partial[thread] = T.float32(0)
                        acc[0] = T.float32(0)
                        acc[1] = T.float32(0)
                        choose(SCORES, V, ROUTE, scores, best, bx, choice, thread)
                        # Threads beyond N stay on the expert's last row: its neighbour need not exist.
                        first: T.int32 = best[choice] * (2 * rows) + T.min(row, rows - 1)
                        prepare(X, X, X, V, X, X, acc, factors, partial, bx, thread)
                        for chunk in T.serial(staged_input.chunks):
                            stage(X, X, X, V, acc, factors, partial, staged, chunk, thread)
                            for i in T.serial(ceil_div(chunk_groups, splits)):
                                in_chunk: T.int32 = i * splits + ty
                                if in_chunk < chunk_groups and chunk * chunk_groups + in_chunk < layout.groups:
                                    add(W, S, staged, acc, lambda slot: first + slot * rows, in_chunk * layout.vectors, chunk * chunk_groups + in_chunk, None)
                        total(acc, partial, 0, ty, tx)
                        if ty == 0 and row < rows:
                            Y[choice * rows + row] = gelu(acc[0]) * acc[1]

    rows_read = chosen * 2 * rows
    parameters = (*weight_parameters(layout, rows_read), Parameter("X", bytes_moved=4 * columns), Parameter("V"),
                  Parameter("SCORES", bytes_moved=4 * experts), Parameter("Y", written=True, bytes_moved=4 * chosen * rows),
                  Parameter("ROUTE", written=True, bytes_moved=8 * chosen))
    return Kernel(name, func, (ceil_div(rows, TILE), chosen), parameters, rows_read * columns)


def experts_sum_vector(experts: int, chosen: int, rows: int, columns: int, format: str) -> Kernel:
    """y[N] = sum over the chosen experts of weight * (W_expert x[choice]); X [chosen, K], W [experts * N, K]."""
    layout = WeightLayout(experts * rows, columns, format)
    splits = min(SPLITS, layout.groups)
    add, total = add_group(layout, 1, padded=False), sum_splits(splits, 1, 1)
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
                            group: T.int32 = i * splits + ty
                            if group < layout.groups:
                                add(W, S, X, own, lambda slot: first, choice * (columns // 4) + group * layout.vectors, group, None)
                        acc[0] = acc[0] + own[0] * ROUTE[chosen + choice]
                    total(acc, partial, 0, ty, tx)
                    if ty == 0 and row < rows:
                        Y[row] = acc[0]

    parameters = (*weight_parameters(layout, chosen * rows), Parameter("X", bytes_moved=4 * chosen * columns),
                  Parameter("ROUTE", bytes_moved=8 * chosen), Parameter("Y", written=True, bytes_moved=4 * rows))
    return Kernel(name, func, (ceil_div(rows, TILE), 1), parameters, chosen * rows * columns)


def weight_parameters(layout: WeightLayout, rows_read: int) -> list[Parameter]:
    """W [S], of which `rows_read` rows are read."""
    scale = [Parameter("S", bytes_moved=rows_read * layout.scale_words * 4)] if layout.has_scale else []
    return [Parameter("W", bytes_moved=rows_read * layout.units * 16), *scale]
