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
from .linear_common import linear_name, linear_parameters

# Rows enough to fill a GPU with a row a thread: then no thread waits at a barrier.
ROWS_WITHOUT_SPLIT = 16384
SPLITS = 4


def linear_vector(rows: int, columns: int, format: str, x_offset: int = 0, norm_eps: float | None = None,
                  epilogue: str = "none", cap: float = 0.0, other_offset: int = 0) -> Kernel:
    """y[N] = epilogue(W[N, K] norm(x[K])), all activations float32.

    x_offset: where x starts in its buffer, in values (a multiple of 4). norm_eps: RMS-norm x with a weight G first.
    epilogue: `gated`: W holds 2 N rows, y = gelu(first half) * second half; `gated_by`: y = gelu(W x) * other;
    `softcap`: y = cap * tanh(W x / cap).
    """
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    splits = 1 if rows >= ROWS_WITHOUT_SPLIT else min(SPLITS, layout.groups)
    groups_a_split = ceil_div(layout.groups, splits)
    norm = norm_eps is not None
    sums = products + (1 if norm else 0)
    expand, scale_of = expand_vector(format), load_scale(layout)
    vectors = layout.values_per_unit // 4

    name = linear_name("linear_vector", rows, columns, format, norm_eps, epilogue, cap, x=x_offset, other=other_offset)

    @T.inline
    def add_vector(X, G, acc, product, values, part, k4):
        x: T.float32x4 = X[x_offset // 4 + k4]
        if norm and product == 0:
            acc[products] = acc[products] + T.call_pure_extern("float32", "dot", x, x)
        if norm:
            x = x * G[k4]
        part[0] = part[0] + T.call_pure_extern("float32", "dot", values[T.Ramp(0, 1, 4)], x)

    @T.inline
    def add_group(W, S, X, G, acc, product, row, group):
        words = T.alloc_buffer((4,), "uint32", scope="local")
        values = T.alloc_buffer((4,), "float32", scope="local")
        part = T.alloc_buffer((1,), "float32", scope="local")
        part[0] = T.float32(0)
        for u in T.serial(layout.units_per_group):
            words[T.Ramp(0, 1, 4)] = W[layout.unit(row, group * layout.units_per_group + u)]
            for v in T.unroll(vectors):
                expand(words, 0, v, values)
                k4 = T.meta_var(group * (GROUP // 4) + u * vectors + v)
                if layout.ragged:
                    if k4 < columns // 4:
                        add_vector(X, G, acc, product, values, part, k4)
                else:
                    add_vector(X, G, acc, product, values, part, k4)
        if layout.has_scale:
            scale = T.alloc_buffer((2,), "float32", scope="local")
            scale_of(S, row, group, scale)
            acc[product] = acc[product] + part[0] * scale[group % 2]
        else:
            acc[product] = acc[product] + part[0]

    @T.inline
    def add_groups(W, S, X, G, acc, row, group):
        add_group(W, S, X, G, acc, 0, row, group)
        if gated:
            add_group(W, S, X, G, acc, 1, row + rows, group)

    @T.prim_func
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer(((x_offset + columns) // 4,), "float32x4"), G: T.Buffer((columns // 4,), "float32x4"),
             E: T.Buffer((other_offset + rows,), "float32"), Y: T.Buffer((rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE), thread="blockIdx.x"):
            for ty in T.thread_binding(splits, thread="threadIdx.y"):
                for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                    acc = T.alloc_buffer((sums,), "float32", scope="local")
                    row: T.int32 = bx * TILE + tx
                    for i in T.unroll(sums):
                        acc[i] = T.float32(0)
                    for i in T.serial(groups_a_split):
                        group: T.int32 = i * splits + ty
                        if layout.groups % splits == 0:
                            add_groups(W, S, X, G, acc, row, group)
                        else:
                            if group < layout.groups:
                                add_groups(W, S, X, G, acc, row, group)
                    if splits > 1:
                        partial = T.alloc_buffer((splits * TILE * sums,), "float32", scope="shared")
                        for i in T.unroll(sums):
                            partial[(i * splits + ty) * TILE + tx] = acc[i]
                        T.tvm_storage_sync("shared")
                        for i in T.unroll(sums):
                            acc[i] = T.float32(0)
                            for s in T.unroll(splits):
                                acc[i] = acc[i] + partial[(i * splits + s) * TILE + tx]
                    if ty == 0 and row < rows:
                        if norm:
                            inverse_rms: T.float32 = T.float32(1) / T.sqrt(acc[products] / T.float32(columns) + exact(norm_eps))
                            for i in T.unroll(products):
                                acc[i] = acc[i] * inverse_rms
                        if gated:
                            Y[row] = gelu(acc[0]) * acc[1]
                        elif epilogue == "gated_by":
                            Y[row] = gelu(acc[0]) * E[other_offset + row]
                        elif epilogue == "softcap":
                            Y[row] = softcap(acc[0], cap)
                        else:
                            Y[row] = acc[0]

    return Kernel(name, func, (ceil_div(rows, TILE), 1),
                  linear_parameters(layout.has_scale, norm, epilogue, 4 * columns, 4 * rows), layout.rows * columns)

