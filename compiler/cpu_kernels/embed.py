"""Embedding: one row of a table for each token of the step; and the copy of the last token's row."""
from tvm.script import tirx as T

from ..kernels.kernel import Parameter, exact, number_name
from ..quantize.format import TABLE_TILE_ROWS
from ..state import STATE
from .cpu_kernel import CpuKernel
from .weight_quads import QUAD, QuadLayout, from_half, widened


def embed_kernel(tokens: int, vocabulary: int, width: int, format: str, scale: float, table: bool, simd: str | None,
                 parts: tuple[int, int] | None = None) -> CpuKernel:
    """Y[M, K] = scale * W[ids[m]], ids from the state; ids outside the vocabulary read its first or last row.

    table: W is only looked up: its rows lie one after the other, as they came. Else it is a matrix of products, after `prepare`; simd: theirs, as in
    `linear_kernel`. parts: as in compiler/kernels/embed.py.
    """
    layout = QuadLayout(vocabulary, width, format, None, TABLE_TILE_ROWS) if table else QuadLayout(vocabulary, width, format, simd)
    halves = layout.has_scale and layout.weight_format.scale.dtype == "<f2"
    name = f"{'embed_table' if table else 'embed_pairs' if layout.paired else 'embed'}_{format}_m{tokens}_v{vocabulary}_k{width}_{number_name('scale', scale)}"

    held, stored = parts or (width, width)
    y_values = width // held * stored
    name += f"_parts{held}_{stored}" if parts else ""

    def load_word(W, row, unit, word):
        if table:
            return W[layout.unit(row, unit) * 4 + word]
        lane = T.truncmod(row, QUAD)
        start = layout.vector(row - lane, unit, word) * 4
        if not layout.paired:
            return W[start + lane]
        # Two rows share a word of first bytes, and one of the others.
        low, high = (T.shift_right(W[start + half + T.truncdiv(lane, 2)], T.truncmod(lane, 2) * 16) for half in (0, 2))
        return T.bitwise_or(T.bitwise_and(low, T.int32(0xFFFF)), T.shift_left(high, T.int32(16)))

    def scale_of(S, row, group):
        if not layout.has_scale:
            return T.float32(1)
        word = S[layout.scale_word(row, group)]
        return from_half(T.shift_left(word, 16 - T.truncmod(group, 2) * 16), 1) if halves else T.reinterpret("float32", word)

    @T.jit
    def func(w: T.handle("int32"), s: T.handle("int32"), state_words: T.handle("int32"), y: T.handle("float32"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        W = T.decl_buffer((layout.data_units * 4,), "int32", data=w)
        S = T.decl_buffer((max(1, layout.scale_total),), "int32", data=s)
        STATE_WORDS = T.decl_buffer((STATE["tokens"] + tokens,), "int32", data=state_words)
        Y = T.decl_buffer((tokens * y_values,), "float32", data=y)
        for item in T.serial(last - first):
            m: T.int32 = first + item
            row: T.int32 = T.max(0, T.min(vocabulary - 1, STATE_WORDS[STATE["tokens"] + m]))
            for unit in T.serial(layout.units):
                factor: T.float32 = scale_of(S, row, T.truncdiv(unit, layout.units_per_group)) * exact(scale)
                for word in T.unroll(4):
                    loaded: T.int32 = load_word(W, row, unit, word)
                    for value in T.unroll(layout.values_per_word):
                        column: T.int32 = layout.column(unit, word, value)
                        if column < width:
                            Y[m * y_values + T.truncdiv(column, held) * stored + T.truncmod(column, held)] = widened(layout, loaded, value, 1) * factor
            for part in T.serial(width // held):
                for i in T.serial(stored - held):
                    Y[m * y_values + part * stored + held + i] = T.float32(0)

    present = [("W", True), ("S", layout.has_scale), ("STATE_WORDS", True)]
    parameters = (*(Parameter(key) for key, wanted in present if wanted), Parameter("Y", written=True))
    return CpuKernel(name, func, 1, parameters, per_token=True)


def last_row_kernel(tokens: int, width: int) -> CpuKernel:
    """Y[K] = X[length - 1]: the row of the chunk's last token. Float32, K a multiple of 4."""
    vectors = width // 4
    name = f"last_row_m{tokens}_k{width}"

    @T.jit
    def func(x: T.handle("float32x4"), state_words: T.handle("int32"), y: T.handle("float32x4"), first: T.int32, last: T.int32):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        X = T.decl_buffer((tokens * vectors,), "float32x4", data=x)
        STATE_WORDS = T.decl_buffer((STATE["tokens"],), "int32", data=state_words)
        Y = T.decl_buffer((vectors,), "float32x4", data=y)
        for item in T.serial(last - first):
            for v in T.serial(vectors):
                Y[v] = X[(STATE_WORDS[STATE["length"]] - 1) * vectors + v]

    return CpuKernel(name, func, 1, (Parameter("X"), Parameter("STATE_WORDS", bytes_moved=4), Parameter("Y", written=True)))
