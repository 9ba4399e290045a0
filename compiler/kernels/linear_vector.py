"""Matrix-vector product y = W x with quantized W: the work of a decoded token.

A thread owns a row of a tile of 32 (neighbouring threads load neighbouring 16 bytes); `splits` groups of threads share
the columns and add their parts in workgroup memory once. The RMS norm of x, where one precedes the product, rides
along: W (x * g) / rms(x), so each thread adds up the squares it passes anyway.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, ceil_div, exact
from .linear_common import linear_name, linear_parameters, row_of
from .vector_tile import add_group, sum_splits

# Rows enough to fill a GPU without sharing the columns out: then no thread waits at a barrier, and each takes four
# rows, so that a load of x serves four products.
ROWS_WITHOUT_SPLIT = 16384
ROW_TILES_WITHOUT_SPLIT = 4
SPLITS = 4


def linear_vector(rows: int, columns: int, format: str, x_offset: int = 0, norm_eps: float | None = None,
                  epilogue: str = "none", cap: float = 0.0) -> Kernel:
    """y[N] = epilogue(W[N, K] norm(x[K])), all activations float32.

    x_offset: where x starts in its buffer, in values (a multiple of 4). norm_eps: RMS-norm x with a weight G first.
    epilogue: `gated`: W holds 2 N rows, y = gelu(first half) * second half; `gated_by`: y = gelu(W x) * E from value
    PLACE[0] on, so that layers which read different parts of E share the kernel; `softcap`: y = cap * tanh(W x / cap).
    """
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    large = rows >= ROWS_WITHOUT_SPLIT
    row_tiles = ROW_TILES_WITHOUT_SPLIT if large else 1
    splits = 1 if large else min(SPLITS, layout.groups)
    slots = row_tiles * products
    norm = norm_eps is not None
    sums = slots + (1 if norm else 0)
    row_at = row_of(rows, row_tiles, products)
    add, total = add_group(layout, slots, norm), sum_splits(splits, sums, TILE)
    blocks = ceil_div(rows, TILE * row_tiles)
    name = linear_name("linear_vector", rows, columns, format, norm_eps, epilogue, cap, x=x_offset)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer(((x_offset + columns) // 4,), "float32x4"), G: T.Buffer((columns // 4,), "float32x4"),
             E: T.Buffer((rows,), "float32"), PLACE: T.Buffer((1,), "int32"), Y: T.Buffer((rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for ty in T.thread_binding(splits, thread="threadIdx.y"):
                for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                    acc = T.alloc_buffer((sums,), "float32", scope="local")
                    for i in T.unroll(sums):
                        acc[i] = T.float32(0)
                    for i in T.serial(ceil_div(layout.groups, splits)):
                        group: T.int32 = i * splits + ty
                        if layout.groups % splits == 0:
                            add(W, S, X, G, acc, lambda slot: row_at(bx, slot) + tx, x_offset // 4, group)
                        else:
                            if group < layout.groups:
                                add(W, S, X, G, acc, lambda slot: row_at(bx, slot) + tx, x_offset // 4, group)
                    if splits > 1:
                        partial = T.alloc_buffer((splits * TILE * sums,), "float32", scope="shared")
                        total(acc, partial, ty, tx)
                    if norm:
                        inverse_rms: T.float32 = T.float32(1) / T.sqrt(acc[slots] / T.float32(columns) + exact(norm_eps))
                        for i in T.unroll(slots):
                            acc[i] = acc[i] * inverse_rms
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

    return Kernel(name, func, (blocks, 1), linear_parameters(layout.has_scale, norm, epilogue, 4 * columns, 4 * rows),
                  layout.rows * columns)
