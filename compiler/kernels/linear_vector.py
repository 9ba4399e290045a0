"""Matrix-vector product y = W x with quantized W: the work of a decoded token.

A thread owns a row of a tile of 32 (neighbouring threads load neighbouring 16 bytes); `splits` groups of threads share
the columns and add their parts in workgroup memory once. The RMS norm of x, where one precedes the product, rides
along: W (x * g) / rms(x), so each thread adds up the squares it passes anyway.
"""
from tvm.script import tirx as T

from ..quantize.format import GROUP
from .dequantize import WeightLayout, expand_vector, load_scale
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, ceil_div, exact
from .linear_common import linear_name, linear_parameters, row_of

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
    expand, scale_of = expand_vector(format), load_scale(layout)
    vectors = layout.values_per_unit // 4
    blocks = ceil_div(rows, TILE * row_tiles)
    name = linear_name("linear_vector", rows, columns, format, norm_eps, epilogue, cap, x=x_offset)

    @T.inline
    def add_vector(X, G, acc, words, part, v, k4):
        values = T.alloc_buffer((4,), "float32", scope="local")
        x: T.float32x4 = X[x_offset // 4 + k4]
        if norm:
            acc[slots] = acc[slots] + T.call_pure_extern("float32", "dot", x, x)
            x = x * G[k4]
        for r in T.unroll(slots):
            expand(words, r * 4, v, values)
            part[r] = part[r] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], x)

    @T.inline
    def add_group(W, S, X, G, acc, block, tx, group):
        words = T.alloc_buffer((slots * 4,), "uint32", scope="local")
        part = T.alloc_buffer((slots,), "float32", scope="local")
        for r in T.unroll(slots):
            part[r] = T.float32(0)
        for u in T.serial(layout.units_per_group):
            for r in T.unroll(slots):
                words[T.Ramp(r * 4, 1, 4)] = W[layout.unit(row_at(block, r) + tx, group * layout.units_per_group + u)]
            for v in T.unroll(vectors):
                k4 = T.meta_var(group * (GROUP // 4) + u * vectors + v)
                if layout.ragged:
                    if k4 < columns // 4:
                        add_vector(X, G, acc, words, part, v, k4)
                else:
                    add_vector(X, G, acc, words, part, v, k4)
        for r in T.unroll(slots):
            if layout.has_scale:
                scale = T.alloc_buffer((2,), "float32", scope="local")
                scale_of(S, row_at(block, r) + tx, group, scale)
                acc[r] = acc[r] + part[r] * scale[group % 2]
            else:
                acc[r] = acc[r] + part[r]

    @T.prim_func
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
                            add_group(W, S, X, G, acc, bx, tx, group)
                        else:
                            if group < layout.groups:
                                add_group(W, S, X, G, acc, bx, tx, group)
                    if splits > 1:
                        partial = T.alloc_buffer((splits * TILE * sums,), "float32", scope="shared")
                        for i in T.unroll(sums):
                            partial[(i * splits + ty) * TILE + tx] = acc[i]
                        T.tvm_storage_sync("shared")
                        for i in T.unroll(sums):
                            acc[i] = T.float32(0)
                            for s in T.unroll(splits):
                                acc[i] = acc[i] + partial[(i * splits + s) * TILE + tx]
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
