"""Embedding: one row of a table for each token of the step; and the copy of the last token's row."""
from tvm.script import tirx as T

from ..quantize.format import TABLE_TILE_ROWS
from ..state import STATE
from .dequantize import WeightLayout, expand_vector, load_scale
from .kernel import ANY_EXTENT, TILE, Kernel, Parameter, ceil_div, exact, number_name

THREADS = 64
PART_WORDS = 3


def embed_kernel(tokens: int, vocabulary: int, width: int, format: str, scale: float, table: bool = False,
                 parts: tuple[int, int] | None = None) -> Kernel:
    """Y[M, K] = scale * W[ids[m]], ids from the state; W[V, K] in the tile layout, Y float32.

    Ids outside the vocabulary read its first or last row rather than memory outside the table.

    parts: (held, stored) where a row consists of parts of `held` values, each of which is filled up with zeros to `stored` in Y.

    table: W is only looked up. It is stored row after row then, and may be there in part: PART, int32 [3], holds the first row in W, the
    number of rows in W, and V. The kernel writes the rows of Y whose rows of W are there, and leaves the others as they are.
    """
    layout = WeightLayout(vocabulary, width, format, TABLE_TILE_ROWS if table else TILE)
    expand, scale_of = expand_vector(format), load_scale(layout)
    vectors = layout.values_per_unit // 4
    blocks = ceil_div(layout.units, THREADS)
    kind = "embed_table" if table else "embed"
    held, stored = parts or (width, width)
    y_type, y_values = ("float32", width // held * stored) if parts else ("float32x4", width // 4)
    name = f"{kind}_{format}_v{vocabulary}_k{width}_{number_name('scale', scale)}" + (f"_parts{held}_{stored}" if parts else "")

    def place_of(part, token):
        """The token's row in W; outside 0 ... rows_here - 1 where it is not there."""
        last = part[2] - 1 if table else vocabulary - 1
        row = T.max(0, T.min(last, token))
        return row - part[0] if table else row

    @T.inline
    def store_parts(Y, values, start, first, factor):
        # The last value of a part brings the zeros behind it.
        for lane in T.unroll(4):
            column: T.int32 = first + lane
            if column < width:
                place: T.int32 = start + column // held * stored + column % held
                Y[place] = values[lane] * factor
                if column % held == held - 1:
                    for i in T.unroll(stored - held):
                        Y[place + 1 + i] = T.float32(0)

    def is_here(part, row):
        return T.And(row >= 0, row < part[1]) if table else True

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             PART: T.Buffer((PART_WORDS,), "int32"), STATE_WORDS: T.Buffer((STATE["tokens"] + ANY_EXTENT,), "int32"),
             Y: T.Buffer((ANY_EXTENT * y_values,), y_type)):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for m in T.thread_binding(ANY_EXTENT, thread="blockIdx.y"):
                for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                    unit: T.int32 = bx * THREADS + tx
                    row: T.int32 = place_of(PART, STATE_WORDS[STATE["tokens"] + m])
                    words = T.alloc_buffer((4,), "uint32", scope="local")
                    values = T.alloc_buffer((4,), "float32", scope="local")
                    factor: T.float32 = exact(scale)
                    if unit < layout.units and is_here(PART, row):
                        words[T.Ramp(0, 1, 4)] = W[layout.unit(row, unit)]
                        if layout.has_scale:
                            group = T.meta_var(unit // layout.units_per_group)
                            pair = T.alloc_buffer((2,), "float32", scope="local")
                            scale_of(S, row, group, pair)
                            factor = factor * pair[group % 2]
                        for v in T.unroll(vectors):
                            expand(words, 0, v, values)
                            if parts is not None:
                                store_parts(Y, values, m * y_values, (unit * vectors + v) * 4, factor)
                            elif unit * vectors + v < width // 4:
                                Y[m * (width // 4) + unit * vectors + v] = values[T.Ramp(0, 1, 4)] * T.Broadcast(factor, 4)

    row_bytes = tokens * layout.units * 16
    present = [(Parameter("W", bytes_moved=row_bytes), True),
               (Parameter("S", bytes_moved=tokens * layout.scale_words * 4), layout.has_scale),
               (Parameter("PART"), table), (Parameter("STATE_WORDS", bytes_moved=4 * tokens), True),
               (Parameter("Y", written=True, bytes_moved=4 * tokens * width), True)]
    return Kernel(name, func, (blocks, tokens), tuple(parameter for parameter, wanted in present if wanted))


def last_row_kernel(tokens: int, width: int) -> Kernel:
    """Y[K] = X[length - 1]: the row of the chunk's last token that counts. Float32, K a multiple of 4."""
    vectors = width // 4
    blocks = ceil_div(vectors, THREADS)
    name = f"last_row_k{width}"

    @T.jit
    def func(X: T.Buffer((ANY_EXTENT * vectors,), "float32x4"), STATE_WORDS: T.Buffer((STATE["tokens"],), "int32"),
             Y: T.Buffer((vectors,), "float32x4")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for tx in T.thread_binding(THREADS, thread="threadIdx.x"):
                if bx * THREADS + tx < vectors:
                    Y[bx * THREADS + tx] = X[(STATE_WORDS[STATE["length"]] - 1) * vectors + bx * THREADS + tx]

    return Kernel(name, func, (blocks, 1), (Parameter("X", bytes_moved=4 * width), Parameter("STATE_WORDS", bytes_moved=4),
                                            Parameter("Y", written=True)))
