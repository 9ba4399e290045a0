"""A product of a chunk by expert, as its float and its integer kernel see it: sizes, names, and what becomes of the sums."""
from dataclasses import dataclass
from functools import cached_property

from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu
from .kernel import TILE, Parameter, ceil_div
from .matrix_product import MatrixShape


@dataclass(frozen=True)
class ExpertsProduct:
    """The arguments of `experts_matrix`."""

    tokens: int
    experts: int
    chosen: int
    rows: int
    columns: int
    format: str
    gated: bool

    @property
    def products(self) -> int:
        """Rows of W behind a value of Y."""
        return 2 if self.gated else 1

    @cached_property
    def layout(self) -> WeightLayout:
        return WeightLayout(self.experts * self.products * self.rows, self.columns, self.format)

    @property
    def x_rows(self) -> int:
        """Rows of X: a token's, or a choice's own."""
        return self.tokens if self.gated else self.tokens * self.chosen

    def x_start(self, choice):
        """The vector in X where a choice's values start."""
        return choice // (self.chosen if self.gated else 1) * (self.columns // 4)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        scale = [Parameter("S")] if self.layout.has_scale else []
        return (Parameter("W"), *scale, Parameter("X"), Parameter("COUNT"), Parameter("LIST"), Parameter("Y", written=True))

    @property
    def multiply_accumulates(self) -> int:
        return self.tokens * self.chosen * self.products * self.rows * self.columns

    def row_tiles(self, shape: MatrixShape) -> int:
        return shape.row_tiles(self.rows, self.products)

    def slots(self, shape: MatrixShape) -> int:
        """Rows of W a thread."""
        return self.products * self.row_tiles(shape)

    def tiles(self, shape: MatrixShape) -> int:
        """Tiles of choices that one expert may have."""
        return ceil_div(self.tokens, shape.tile_tokens)

    def grid(self, shape: MatrixShape) -> tuple[int, int]:
        return ceil_div(self.rows, TILE * self.row_tiles(shape)), self.experts * self.tiles(shape)

    def name(self, kind: str, shape: MatrixShape) -> str:
        """A name that holds all that shapes the code."""
        return (f"{kind}_m{self.tokens}_{self.format}_e{self.experts}_top{self.chosen}_n{self.rows}_k{self.columns}"
                + ("_gated" if self.gated else "") + f"_{shape.name}")

    def row_of(self, shape: MatrixShape):
        """The function (expert, block, slot, tx) -> row of W. Threads beyond N stay on the expert's last row: its neighbour need not exist."""
        def row(expert, block, slot, tx):
            within = T.min((block * self.row_tiles(shape) + slot // self.products) * TILE + tx, self.rows - 1)
            return expert * (self.products * self.rows) + slot % self.products * self.rows + within

        return row

    def store(self, shape: MatrixShape):
        """Inline (LIST, Y, acc, expert, count, block, tx, first): a thread's sums, acc[slot * shape.tokens + t], of the choices from number `first` of
        the expert's on."""
        tokens, row_tiles, products = shape.tokens, self.row_tiles(shape), self.products
        rows, chunk, gated = self.rows, self.tokens, self.gated

        @T.inline
        def store(LIST, Y, acc, expert, count, block, tx, first):
            for t in T.unroll(tokens):
                for i in T.unroll(row_tiles):
                    row: T.int32 = (block * row_tiles + i) * TILE + tx
                    if row < rows and first + t < count:
                        y = T.meta_var(acc[i * products * tokens + t])
                        at = T.meta_var(LIST[expert * chunk + first + t] * rows + row)
                        if gated:
                            Y[at] = gelu(y) * acc[(i * products + 1) * tokens + t]
                        else:
                            Y[at] = y

        return store
