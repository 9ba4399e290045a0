"""A product of a chunk, Y = epilogue(X W^T), as every matrix kernel sees it: sizes, names, and what becomes of the sums."""
from dataclasses import dataclass
from functools import cached_property

from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu, softcap
from .kernel import TILE, Parameter, ceil_div
from .linear_common import linear_name
from .rounding import Rounding, rounded, step_size


@dataclass(frozen=True)
class MatrixShape:
    """How the work is shared out: rows of W and tokens a thread, and threads a workgroup along the tokens.

    Along the rows a workgroup has 32 threads, neighbours in a tile of the weights.
    """

    rows: int
    tokens: int
    slices: int

    @property
    def tile_tokens(self) -> int:
        """Tokens of a workgroup."""
        return self.tokens * self.slices

    def fitted(self, tokens: int) -> "MatrixShape":
        """This shape without threads that a chunk of `tokens` tokens would leave idle."""
        return MatrixShape(self.rows, self.tokens, min(self.slices, ceil_div(tokens, self.tokens)))

    @property
    def name(self) -> str:
        return f"r{self.rows}x{self.tokens}x{self.slices}"

    def row_tiles(self, rows: int, products: int) -> int:
        """Tiles of 32 rows a workgroup, such that the last workgroup has no fewer than it must; `products` rows a thread in each."""
        tiles = ceil_div(rows, TILE)
        return ceil_div(tiles, ceil_div(tiles, max(1, self.rows // products)))


@dataclass(frozen=True)
class MatrixProduct:
    """The arguments of `linear_matrix`."""

    tokens: int
    rows: int
    columns: int
    format: str
    x_stride: int
    x_offset: int
    epilogue: str
    cap: float
    other_stride: int
    rounding: Rounding | None

    @cached_property
    def layout(self) -> WeightLayout:
        return WeightLayout(self.products * self.rows, self.columns, self.format)

    @property
    def products(self) -> int:
        """Rows of W behind a value of Y."""
        return 2 if self.epilogue == "gated" else 1

    @property
    def step_words(self) -> int:
        """Float32 values of the buffer A, at least the one that a kernel without it declares."""
        return self.rounding.words if self.rounding else 1

    @property
    def multiply_accumulates(self) -> int:
        return self.tokens * self.layout.rows * self.columns

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """W [S] [A] X [E PLACE] STATE_WORDS Y."""
        gated_by = self.epilogue == "gated_by"
        x, y = (Parameter("X", bytes_moved=4 * self.tokens * self.columns), Parameter("Y", written=True, bytes_moved=4 * self.tokens * self.rows))
        present = [(Parameter("W"), True), (Parameter("S"), self.layout.has_scale), (Parameter("A"), self.rounding is not None), (x, True),
                   (Parameter("E", bytes_moved=4 * self.tokens * self.rows), gated_by), (Parameter("PLACE"), gated_by),
                   (Parameter("STATE_WORDS", bytes_moved=4), True), (y, True)]
        return tuple(parameter for parameter, wanted in present if wanted)

    def name(self, kind: str, shape: MatrixShape) -> str:
        """A name that holds all that shapes the code."""
        return linear_name(kind, self.rows, self.columns, self.format, self.epilogue, self.cap, self.rounding,
                           stride=0 if self.x_stride == self.columns else self.x_stride, x=self.x_offset, other=self.other_stride) + f"_{shape.name}"

    def grid(self, shape: MatrixShape) -> tuple[int, int]:
        return (ceil_div(self.rows, TILE * shape.row_tiles(self.rows, self.products)), ceil_div(self.tokens, shape.tile_tokens))

    def store(self, shape: MatrixShape):
        """Inline (A, E, PLACE, Y, acc, steps, block, tx, token0, length, row_at): what a thread's sums become, rows beyond N and tokens beyond
        `length` left out.

        acc: local float32, slot * shape.tokens + t; slots go tile by tile, with two products gate before up. steps: local
        float32 by slot, the step of the slot's input. row_at: Python function (block, slot) -> row of W at place 0 of the tile.
        """
        row_tiles, products, tokens = shape.row_tiles(self.rows, self.products), self.products, shape.tokens
        rows, rounding, epilogue, cap, other_stride = self.rows, self.rounding, self.epilogue, self.cap, self.other_stride
        slots = products * row_tiles
        whole = rows % (row_tiles * TILE) == 0

        @T.inline
        def store(A, E, PLACE, Y, acc, steps, block, tx, token0, length, row_at):
            if rounding is not None:
                for i in T.unroll(slots):
                    size: T.float32 = step_size(steps[i])
                    output_step: T.float32 = rounding.output_step(A, row_at(block, i) + tx)
                    for t in T.unroll(tokens):
                        acc[i * tokens + t] = rounded(acc[i * tokens + t] * size, output_step)
            # One branch a token where no row lies beyond N: with one a value, SwiftShader took up to half as long again to make the pipeline.
            for t in T.unroll(tokens):
                m: T.int32 = token0 + t
                if m < length:
                    for i in T.unroll(row_tiles):
                        row: T.int32 = (block * row_tiles + i) * TILE + tx
                        y = T.meta_var(acc[i * products * tokens + t])
                        if whole or row < rows:
                            if epilogue == "gated":
                                Y[m * rows + row] = gelu(y) * acc[(i * products + 1) * tokens + t]
                            elif epilogue == "gated_by":
                                Y[m * rows + row] = gelu(y) * E[m * other_stride + PLACE[0] + row]
                            elif epilogue == "softcap":
                                Y[m * rows + row] = softcap(y, cap)
                            else:
                                Y[m * rows + row] = y

        return store
