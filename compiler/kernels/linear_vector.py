"""Matrix-vector product y = W x with quantized W: the work of a decoded token.

A thread owns a row of a tile of 32 (neighbouring threads load neighbouring 16 bytes); `splits` groups of threads share
the columns and add their parts in workgroup memory once. The RMS norm of x, where one precedes the product, rides
along: W (x * g) / rms(x), so each thread adds up the squares it passes anyway. Where x is rounded, the norm has to be
known before: then a workgroup's threads find it together first.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, ceil_div, exact
from .linear_common import linear_name, linear_parameters, row_of
from .rounding import Rounding, rounded, step_size, whole_steps
from .vector_tile import add_group, inverse_rms, sum_splits

# Rows enough to fill a GPU without sharing the columns out: then no thread waits at a barrier, and each takes four
# rows, so that a load of x serves four products.
ROWS_WITHOUT_SPLIT = 16384
ROW_TILES_WITHOUT_SPLIT = 4
SPLITS = 4


def linear_vector(rows: int, columns: int, format: str, x_offset: int = 0, norm_eps: float | None = None,
                  epilogue: str = "none", cap: float = 0.0, rounding: Rounding | None = None) -> Kernel:
    """y[N] = epilogue(W[N, K] norm(x[K])), all activations float32.

    x_offset: where x starts in its buffer, in values (a multiple of 4). norm_eps: RMS-norm x with a weight G first.
    epilogue: `gated`: W holds 2 N rows, y = gelu(first half) * second half; `gated_by`: y = gelu(W x) * E from value
    PLACE[0] on, so that layers which read different parts of E share the kernel; `softcap`: y = cap * tanh(W x / cap).
    rounding: x (after the norm) and W x (before the epilogue) are rounded to the steps in A.
    """
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    large = rows >= ROWS_WITHOUT_SPLIT
    row_tiles = ROW_TILES_WITHOUT_SPLIT if large else 1
    splits = 1 if large else min(SPLITS, layout.groups)
    slots = row_tiles * products
    norm = norm_eps is not None
    rounds = rounding is not None
    norm_first, squares_ride_along = norm and rounds, norm and not rounds
    sums = slots + (1 if squares_ride_along else 0)
    row_at = row_of(rows, row_tiles, products)
    prepared = "no" if not rounds else "once" if rounding.one_input else "by_slot"
    add, total = add_group(layout, slots, squares_ride_along, prepared), sum_splits(splits, sums, TILE)
    find_rms = inverse_rms(splits * TILE, columns, x_offset // 4, norm_eps) if norm_first else None
    words = rounding.words if rounds else 1
    blocks = ceil_div(rows, TILE * row_tiles)
    name = linear_name("linear_vector", rows, columns, format, norm_eps, epilogue, cap, rounding, x=x_offset)

    def prepare(G, factor, x, vector, step):
        return whole_steps(x * G[vector] * T.Broadcast(factor[0], 4) if norm else x, step)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"), A: T.Buffer((words,), "float32"),
             X: T.Buffer(((x_offset + columns) // 4,), "float32x4"), G: T.Buffer((columns // 4,), "float32x4"),
             E: T.Buffer((rows,), "float32"), PLACE: T.Buffer((1,), "int32"), Y: T.Buffer((rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for ty in T.thread_binding(splits, thread="threadIdx.y"):
                for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                    acc = T.alloc_buffer((sums,), "float32", scope="local")
                    factor = T.alloc_buffer((1,), "float32", scope="local")
                    steps = T.alloc_buffer((slots,), "float32", scope="local")
                    for i in T.unroll(sums):
                        acc[i] = T.float32(0)
                    if rounds:
                        for i in T.unroll(slots):
                            steps[i] = rounding.input_step(A, row_at(bx, i) + tx)
                    if norm_first:
                        squares = T.alloc_buffer((splits * TILE,), "float32", scope="shared")
                        find_rms(X, squares, factor, ty * TILE + tx)
                    for i in T.serial(ceil_div(layout.groups, splits)):
                        group: T.int32 = i * splits + ty
                        if layout.groups % splits == 0:
                            add(W, S, X, G, acc, lambda slot: row_at(bx, slot) + tx, x_offset // 4, group,
                                lambda x, vector, slot: prepare(G, factor, x, vector, steps[slot]))
                        else:
                            if group < layout.groups:
                                add(W, S, X, G, acc, lambda slot: row_at(bx, slot) + tx, x_offset // 4, group,
                                lambda x, vector, slot: prepare(G, factor, x, vector, steps[slot]))
                    if splits > 1:
                        partial = T.alloc_buffer((splits * TILE * sums,), "float32", scope="shared")
                        total(acc, partial, ty, tx)
                    if squares_ride_along:
                        inverse_rms: T.float32 = T.float32(1) / T.sqrt(acc[slots] / T.float32(columns) + exact(norm_eps))
                        for i in T.unroll(slots):
                            acc[i] = acc[i] * inverse_rms
                    if rounds:
                        for i in T.unroll(slots):
                            acc[i] = rounded(acc[i] * step_size(steps[i]), rounding.output_step(A, row_at(bx, i) + tx))
                    for i in T.unroll(row_tiles):
                        row: T.int32 = (bx * row_tiles + i) * TILE + tx
                        if ty == 0 and row < rows:
                            y = T.meta_var(acc[i * products])
                            if gated:
                                Y[row] = gelu(y) * acc[i * products + 1]
                            elif epilogue == "gated_by":
                                Y[row] = gelu(y) * E[PLACE[0] + row]
                            elif epilogue == "softcap":
                                Y[row] = softcap(y, cap)
                            else:
                                Y[row] = y

    return Kernel(name, func, (blocks, 1), linear_parameters(layout.has_scale, norm, epilogue, 4 * columns, 4 * rows, rounds),
                  layout.rows * columns)
