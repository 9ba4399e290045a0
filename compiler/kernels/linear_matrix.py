"""Matrix-matrix product Y = X W^T with quantized W: the work of a prefill chunk.

A workgroup makes a tile of 32 rows of W by `TOKENS` tokens. The tokens' columns of one quantization group (32 values)
are staged in workgroup memory; a thread owns a row of W and eight tokens, so each weight is expanded once for eight
products. Tiles of tokens that lie wholly beyond the chunk's `length` are skipped.
"""
from tvm.script import tirx as T

from ..state import STATE
from ..quantize.format import GROUP
from .dequantize import WeightLayout, expand_unit, load_scale
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, ceil_div
from .linear_common import linear_name, linear_parameters

TOKENS_A_THREAD = 8
VECTORS = GROUP // 4


def linear_matrix(tokens: int, rows: int, columns: int, format: str, x_stride: int | None = None, x_offset: int = 0,
                  epilogue: str = "none", cap: float = 0.0, other_stride: int = 0, other_offset: int = 0) -> Kernel:
    """Y[M, N] = epilogue(X[M, K] W[N, K]^T), all activations float32.

    x_stride, x_offset: values from one token's x to the next, and before the first (multiples of 4); likewise of
    `other`. Epilogues as in `linear_vector`. Rows of Y beyond the state's `length` are left as they were or hold
    values of no meaning.
    """
    x_stride = columns if x_stride is None else x_stride
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    tile_tokens = min(32, ceil_div(tokens, TOKENS_A_THREAD) * TOKENS_A_THREAD)
    slices = tile_tokens // TOKENS_A_THREAD
    threads = TILE * slices
    staged = tile_tokens * VECTORS
    expand, scale_of = expand_unit(format), load_scale(layout)
    name = linear_name(f"linear_matrix_m{tokens}", rows, columns, format, False, epilogue,
                       stride=0 if x_stride == columns else x_stride, x=x_offset, otherstride=other_stride, other=other_offset)

    @T.inline
    def stage(X, xs, group, token0, thread):
        for i in T.serial(ceil_div(staged, threads)):
            at: T.int32 = i * threads + thread
            if at < staged:
                token: T.int32 = token0 + at // VECTORS
                k4: T.int32 = group * VECTORS + at % VECTORS
                if token < tokens and k4 < columns // 4:
                    xs[at] = X[(token * x_stride + x_offset) // 4 + k4]
                else:
                    xs[at] = T.Broadcast(T.float32(0), 4)

    @T.inline
    def multiply(W, S, xs, acc, product, row, group, first):
        words = T.alloc_buffer((4,), "uint32", scope="local")
        values = T.alloc_buffer((layout.values_per_unit,), "float32", scope="local")
        scale = T.alloc_buffer((2,), "float32", scope="local")
        if layout.has_scale:
            scale_of(S, row, group, scale)
        for u in T.serial(layout.units_per_group):
            words[T.Ramp(0, 1, 4)] = W[layout.unit(row, group * layout.units_per_group + u)]
            expand(words, values)
            for v in T.unroll(layout.values_per_unit // 4):
                w: T.float32x4 = values[T.Ramp(v * 4, 1, 4)]
                if layout.has_scale:
                    w = w * T.Broadcast(scale[group % 2], 4)
                for t in T.unroll(TOKENS_A_THREAD):
                    acc[product * TOKENS_A_THREAD + t] = acc[product * TOKENS_A_THREAD + t] + T.call_pure_extern(
                        "float32", "dot", w, xs[(first + t) * VECTORS + u * (layout.values_per_unit // 4) + v])

    @T.prim_func
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((tokens * x_stride // 4,), "float32x4"), E: T.Buffer((max(1, tokens * other_stride),), "float32"),
             STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"), Y: T.Buffer((tokens * rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE), thread="blockIdx.x"):
            for by in T.thread_binding(ceil_div(tokens, tile_tokens), thread="blockIdx.y"):
                for ty in T.thread_binding(slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        xs = T.alloc_buffer((staged,), "float32x4", scope="shared")
                        acc = T.alloc_buffer((products * TOKENS_A_THREAD,), "float32", scope="local")
                        row: T.int32 = bx * TILE + tx
                        if by * tile_tokens < STATE_WORDS[STATE["length"]]:
                            for i in T.unroll(products * TOKENS_A_THREAD):
                                acc[i] = T.float32(0)
                            for group in T.serial(layout.groups):
                                T.tvm_storage_sync("shared")
                                stage(X, xs, group, by * tile_tokens, ty * TILE + tx)
                                T.tvm_storage_sync("shared")
                                multiply(W, S, xs, acc, 0, row, group, ty * TOKENS_A_THREAD)
                                if gated:
                                    multiply(W, S, xs, acc, 1, row + rows, group, ty * TOKENS_A_THREAD)
                            for t in T.unroll(TOKENS_A_THREAD):
                                m: T.int32 = by * tile_tokens + ty * TOKENS_A_THREAD + t
                                if row < rows and m < tokens:
                                    if gated:
                                        Y[m * rows + row] = gelu(acc[t]) * acc[TOKENS_A_THREAD + t]
                                    elif epilogue == "gated_by":
                                        Y[m * rows + row] = gelu(acc[t]) * E[m * other_stride + other_offset + row]
                                    elif epilogue == "softcap":
                                        Y[m * rows + row] = softcap(acc[t], cap)
                                    else:
                                        Y[m * rows + row] = acc[t]

    return Kernel(name, func, (ceil_div(rows, TILE), ceil_div(tokens, tile_tokens)),
                  linear_parameters(layout.has_scale, False, epilogue, 4 * tokens * columns, 4 * tokens * rows, state=True),
                  tokens * layout.rows * columns)
