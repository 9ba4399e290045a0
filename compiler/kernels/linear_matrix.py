"""Matrix-matrix product Y = X W^T with quantized W: the work of a prefill chunk.

A workgroup makes up to four tiles of 32 rows of W by up to 32 tokens. The tokens' columns of one group (32 values, in m2
64) are staged in workgroup memory; a thread owns one row of each tile and eight tokens, so a weight is expanded
once for eight products and a staged value is loaded once for four. Tiles of tokens that lie wholly beyond the chunk's
`length` are skipped.
"""
from tvm.script import tirx as T

from ..state import STATE
from .dequantize import WeightLayout
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, ceil_div
from .linear_common import linear_name, linear_parameters, row_of
from .matrix_tile import ROWS_A_THREAD, TOKENS_A_THREAD, multiply_group
from .rounding import Rounding, rounded, step_size, whole_steps


def linear_matrix(tokens: int, rows: int, columns: int, format: str, x_stride: int | None = None, x_offset: int = 0,
                  epilogue: str = "none", cap: float = 0.0, other_stride: int = 0, rounding: Rounding | None = None) -> Kernel:
    """Y[M, N] = epilogue(X[M, K] W[N, K]^T), all activations float32.

    x_stride, x_offset: values from one token's x to the next, and before the first (multiples of 4). Epilogues and rounding as
    in `linear_vector`; other_stride: values from one token's E to the next. Rows of Y beyond the state's `length` are left as they were or hold
    values of no meaning.
    """
    x_stride = columns if x_stride is None else x_stride
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    row_tiles = max(1, min(ROWS_A_THREAD // products, ceil_div(rows, TILE)))
    slots = products * row_tiles
    tile_tokens = min(32, ceil_div(tokens, TOKENS_A_THREAD) * TOKENS_A_THREAD)
    slices = tile_tokens // TOKENS_A_THREAD
    threads = TILE * slices
    staged = tile_tokens * layout.vectors
    row_at = row_of(rows, row_tiles, products)
    rounds = rounding is not None
    by_slot = rounds and not rounding.one_input
    staged_rounded = rounds and not by_slot
    multiply = multiply_group(layout, slots, by_slot)
    words = rounding.words if rounds else 1
    name = linear_name(f"linear_matrix_m{tokens}", rows, columns, format, None, epilogue, cap, rounding,
                       stride=0 if x_stride == columns else x_stride, x=x_offset, other=other_stride)

    @T.inline
    def stage(X, steps, xs, group, token0, thread):
        for i in T.serial(ceil_div(staged, threads)):
            at: T.int32 = i * threads + thread
            if at < staged:
                token: T.int32 = token0 + at // layout.vectors
                k4: T.int32 = group * layout.vectors + at % layout.vectors
                if token < tokens and k4 < columns // 4:
                    if staged_rounded:
                        xs[at] = whole_steps(X[(token * x_stride + x_offset) // 4 + k4], steps[0])
                    else:
                        xs[at] = X[(token * x_stride + x_offset) // 4 + k4]
                else:
                    xs[at] = T.Broadcast(T.float32(0), 4)

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"), A: T.Buffer((words,), "float32"),
             X: T.Buffer((tokens * x_stride // 4,), "float32x4"), E: T.Buffer((max(1, tokens * other_stride),), "float32"),
             PLACE: T.Buffer((1,), "int32"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"), Y: T.Buffer((tokens * rows,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(ceil_div(rows, TILE * row_tiles), thread="blockIdx.x"):
            for by in T.thread_binding(ceil_div(tokens, tile_tokens), thread="blockIdx.y"):
                for ty in T.thread_binding(slices, thread="threadIdx.y"):
                    for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                        xs = T.alloc_buffer((staged,), "float32x4", scope="shared")
                        acc = T.alloc_buffer((slots * TOKENS_A_THREAD,), "float32", scope="local")
                        steps = T.alloc_buffer((slots,), "float32", scope="local")
                        if by * tile_tokens < STATE_WORDS[STATE["length"]]:
                            for i in T.unroll(slots * TOKENS_A_THREAD):
                                acc[i] = T.float32(0)
                            if rounds:
                                for i in T.unroll(slots):
                                    steps[i] = rounding.input_step(A, row_at(bx, i) + tx)
                            for group in T.serial(layout.groups):
                                T.tvm_storage_sync("shared")
                                stage(X, steps, xs, group, by * tile_tokens, ty * TILE + tx)
                                T.tvm_storage_sync("shared")
                                multiply(W, S, xs, acc, lambda slot: row_at(bx, slot) + tx, group, ty * TOKENS_A_THREAD,
                                         lambda x, slot: whole_steps(x, steps[slot]))
                            if rounds:
                                for i in T.unroll(slots):
                                    size: T.float32 = step_size(steps[i])
                                    output_step: T.float32 = rounding.output_step(A, row_at(bx, i) + tx)
                                    for t in T.unroll(TOKENS_A_THREAD):
                                        at: T.int32 = i * TOKENS_A_THREAD + t
                                        acc[at] = rounded(acc[at] * size, output_step)
                            for t in T.unroll(TOKENS_A_THREAD):
                                for i in T.unroll(row_tiles):
                                    m: T.int32 = by * tile_tokens + ty * TOKENS_A_THREAD + t
                                    row: T.int32 = (bx * row_tiles + i) * TILE + tx
                                    if row < rows and m < tokens:
                                        y = T.meta_var(acc[i * products * TOKENS_A_THREAD + t])
                                        if gated:
                                            Y[m * rows + row] = gelu(y) * acc[(i * products + 1) * TOKENS_A_THREAD + t]
                                        elif epilogue == "gated_by":
                                            Y[m * rows + row] = gelu(y) * E[m * other_stride + PLACE[0] + row]
                                        elif epilogue == "softcap":
                                            Y[m * rows + row] = softcap(y, cap)
                                        else:
                                            Y[m * rows + row] = y

    return Kernel(name, func, (ceil_div(rows, TILE * row_tiles), ceil_div(tokens, tile_tokens)),
                  linear_parameters(layout.has_scale, False, epilogue, 4 * tokens * columns, 4 * tokens * rows, rounds, state=True),
                  tokens * layout.rows * columns)
