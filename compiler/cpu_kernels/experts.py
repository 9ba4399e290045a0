"""Products by expert: each row of a matrix of its expert's, for all choices that fell to it; and their weighted sum.

A choice is numbered token * chosen + place in the token's routing (compiler/kernels/route.py). Work items go over experts first, so that
threads share the rows of each expert, however unevenly the experts were chosen.
"""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, ceil_div
from ..kernels.needs import multiple_of
from .cpu_kernel import CpuKernel
from .epilogue import epilogue_of, gate_in_passes, store_rows
from .product import ITEM_ROWS, Product
from .weight_quads import QUAD, QuadLayout


def experts_kernel(tokens: int, experts: int, chosen: int, rows: int, columns: int, format: str, gated: bool, simd: str | None) -> CpuKernel:
    """Y[M * chosen, N] = the product of each choice with its expert's N rows of W; gated: gelu(gate) * up of its 2 N, gate's first.

    X has a row a token where `gated`, else a row a choice; simd as in `linear_kernel`. COUNT int32 [experts] and LIST int32 [experts, M]
    are `group_kernel`'s. Raises KernelLimit where N or K is no multiple of 4: each expert's rows begin at one.
    """
    multiple_of("rows of an expert", rows, QUAD)
    multiple_of("columns", columns, QUAD)
    products = 2 if gated else 1
    layout = QuadLayout(experts * products * rows, columns, format, simd)
    product = Product(layout, rows, products, tokens, simd)
    block, quads, sums, passes = product.block, product.quads, product.sums, product.passes
    finish, store = epilogue_of("gated" if gated else "none", 0.0, quads), store_rows(rows)
    x_rows = tokens if gated else tokens * chosen
    name = f"experts_{'gated' if gated else 'sum'}_{product.form}_{format}_m{tokens}_e{experts}_top{chosen}_n{rows}_k{columns}"

    @T.jit
    def func(w: T.handle("int32"), s: T.handle("uint32"), x: T.handle(product.x_type), qscales: T.handle("float32"), qsums: T.handle("int32"),
             count: T.handle("int32"), list: T.handle("int32"), y: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        W = T.decl_buffer((layout.data_units * 4,), "int32", data=w)
        S = T.decl_buffer((max(1, layout.scale_total),), "uint32", data=s)
        X = T.decl_buffer((product.x_size(x_rows, columns),), product.x_type, data=x)
        QSCALES = T.decl_buffer((x_rows * layout.groups,), "float32", data=qscales)
        QSUMS = T.decl_buffer((x_rows * layout.groups,), "int32", data=qsums)
        COUNT = T.decl_buffer((experts,), "int32", data=count)
        LIST = T.decl_buffer((experts * tokens,), "int32", data=list)
        Y = T.decl_buffer((tokens * chosen * rows,), "float32", data=y)
        acc = T.alloc_buffer((block * sums,), "float32x4", scope="local")
        starts = T.alloc_buffer((block,), "int32", scope="local")
        for number in T.unroll(passes):
            for item in T.serial(last - first):
                expert: T.int32 = T.truncmod(first + item, experts)
                for b in T.serial(T.truncdiv(COUNT[expert] + block - 1, block)):
                    for t in T.unroll(block):
                        # The last block may be short: its last choice is reckoned again, and stored once.
                        choice: T.int32 = LIST[expert * tokens + T.min(b * block + t, COUNT[expert] - 1)]
                        starts[t] = product.start(T.truncdiv(choice, chosen) if gated else choice, columns, 0)
                    for part in T.serial(product.parts):
                        row0: T.int32 = T.truncdiv(first + item, experts) * ITEM_ROWS + part * (quads * QUAD)
                        product.reckon(W, S, X, QSCALES, QSUMS, acc, starts, expert * (products * rows) + (passes - 1 - number) * rows, row0, T.min(last, 0))
                        for t in T.unroll(block):
                            for i in T.unroll(quads):
                                if row0 + i * QUAD < rows and b * block + t < COUNT[expert]:
                                    choice: T.int32 = LIST[expert * tokens + b * block + t]
                                    if passes > 1:
                                        gate_in_passes(number, acc, i, Y, choice * rows + row0 + i * QUAD)
                                    else:
                                        finish(Y, 0, acc, t * sums + i)
                                        store(acc, t * sums + i, Y, choice * rows + row0 + i * QUAD, row0 + i * QUAD)

    parameters = (*product.parameters(), Parameter("COUNT"), Parameter("LIST"), Parameter("Y", written=True))
    return CpuKernel(name, func, experts * ceil_div(rows, ITEM_ROWS), parameters, multiply_accumulates=tokens * chosen * products * rows * columns)


def weighted_sum_kernel(tokens: int, chosen: int, width: int) -> CpuKernel:
    """Y[M, N] = the sum over a token's choices of their rows of X [M * chosen, N], each times its weight in ROUTE [M, 2 * chosen]."""
    vectors = width // 4
    name = f"weighted_sum_m{tokens}_top{chosen}_n{width}"

    @T.jit
    def func(x: T.handle("float32x4"), route: T.handle("float32"), y: T.handle("float32x4"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * chosen * vectors,), "float32x4", data=x)
        ROUTE = T.decl_buffer((tokens * 2 * chosen,), "float32", data=route)
        Y = T.decl_buffer((tokens * vectors,), "float32x4", data=y)
        total = T.alloc_buffer((1,), "float32x4", scope="local")
        for item in T.serial(last - first):
            m: T.int32 = first + item
            for v in T.serial(vectors):
                total[0] = T.Broadcast(T.float32(0), 4)
                for k in T.unroll(chosen):
                    total[0] = total[0] + X[(m * chosen + k) * vectors + v] * T.Broadcast(ROUTE[m * 2 * chosen + chosen + k], 4)
                Y[m * vectors + v] = total[0]

    return CpuKernel(name, func, 1, (Parameter("X"), Parameter("ROUTE"), Parameter("Y", written=True)), per_token=True)
