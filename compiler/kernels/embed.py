"""Embedding: one row of a table for each token of the step; and the copy of the last token's row."""
from tvm.script import tirx as T

from ..state import STATE
from .dequantize import WeightLayout, expand_vector, load_scale
from .kernel import Kernel, Parameter, ceil_div, exact, number_name

THREADS = 64


def embed_kernel(tokens: int, vocabulary: int, width: int, format: str, scale: float) -> Kernel:
    """Y[M, K] = scale * W[ids[m]], ids from the state; W[V, K] in the tile layout, Y float32.

    Ids outside the vocabulary read its last row rather than memory outside the table.
    """
    layout = WeightLayout(vocabulary, width, format)
    expand, scale_of = expand_vector(format), load_scale(layout)
    vectors = layout.values_per_unit // 4
    blocks = ceil_div(layout.units, THREADS)
    name = f"embed_{format}_m{tokens}_v{vocabulary}_k{width}_{number_name('scale', scale)}"

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             STATE_WORDS: T.Buffer((STATE["tokens"] + tokens,), "int32"), Y: T.Buffer((tokens * width // 4,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for m in T.thread_binding(tokens, thread="blockIdx.y"):
                for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                    unit: T.int32 = bx * THREADS + tx
                    row: T.int32 = T.max(0, T.min(vocabulary - 1, STATE_WORDS[STATE["tokens"] + m]))
                    words = T.alloc_buffer((4,), "uint32", scope="local")
                    values = T.alloc_buffer((4,), "float32", scope="local")
                    factor: T.float32 = exact(scale)
                    if unit < layout.units:
                        words[T.Ramp(0, 1, 4)] = W[layout.unit(row, unit)]
                        if layout.has_scale:
                            group = T.meta_var(unit // layout.units_per_group)
                            pair = T.alloc_buffer((2,), "float32", scope="local")
                            scale_of(S, row, group, pair)
                            factor = factor * pair[group % 2]
                        for v in T.unroll(vectors):
                            expand(words, 0, v, values)
                            if unit * vectors + v < width // 4:
                                Y[m * (width // 4) + unit * vectors + v] = values[T.Ramp(0, 1, 4)] * T.Broadcast(factor, 4)

    row_bytes = tokens * layout.units * 16
    present = [(Parameter("W", bytes_moved=row_bytes), True),
               (Parameter("S", bytes_moved=tokens * layout.scale_words * 4), layout.has_scale),
               (Parameter("STATE_WORDS", bytes_moved=4 * tokens), True), (Parameter("Y", written=True), True)]
    return Kernel(name, func, (blocks, tokens), tuple(parameter for parameter, wanted in present if wanted))


def last_row_kernel(tokens: int, width: int) -> Kernel:
    """Y[K] = X[length - 1]: the row of the chunk's last token that counts. Float32, K a multiple of 4."""
    vectors = width // 4
    blocks = ceil_div(vectors, THREADS)
    name = f"last_row_m{tokens}_k{width}"

    @T.jit
    def func(X: T.Buffer((tokens * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             Y: T.Buffer((vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                if bx * THREADS + tx < vectors:
                    Y[bx * THREADS + tx] = X[(STATE_WORDS[STATE["length"]] - 1) * vectors + bx * THREADS + tx]

    return Kernel(name, func, (blocks, 1), (Parameter("X", bytes_moved=4 * width), Parameter("STATE_WORDS", bytes_moved=4),
                                            Parameter("Y", written=True)))
