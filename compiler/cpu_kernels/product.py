"""What the kernels of matrix products share: a work item is some rows of the result, which it reckons a few at a time for a few tokens.

Weights stream from memory once: for one token they are all that counts; for a chunk a work item's rows stay in the cache while
token after token passes them, four at a time.
"""
from tvm.script import tirx as T

from ..kernels.kernel import TILE, Parameter
from .float_product import float_product
from .integer_product import integer_product
from .quantize import WORDS, form_for
from .weight_quads import QUAD, QuadLayout

# A tile of the weights, which lies in one piece: reading 16 rows of each tile, and the others later, took a third longer.
ITEM_ROWS = TILE
TOKENS = 4  # of a chunk, at a time
VECTORS = 8  # of sums that are kept in registers


class Product:
    """Of `rows` rows of the result, each with `products` rows of W, `rows` apart; simd: RELAXED or SIMD128 for whole numbers, None for float32."""

    def __init__(self, layout: QuadLayout, rows: int, products: int, tokens: int, simd: str | None):
        self.layout, self.rows, self.products, self.simd = layout, rows, products, simd
        self.block = min(tokens, TOKENS)
        # Of the result, at a time. For one token a whole tile, so that memory is read in one piece.
        self.quads = ITEM_ROWS // QUAD if tokens == 1 else VECTORS // self.block // products
        self.parts = ITEM_ROWS // QUAD // self.quads
        # A single token's products one after the other, each for all of a thread's rows: two places of memory by turns are read more slowly than one.
        # Several tokens' activations are spread once for both.
        self.passes = products if tokens == 1 else 1
        self.sums = self.quads * products // self.passes
        self.form = "float" if simd is None else form_for(simd, layout.format)
        self.x_type = "float32" if simd is None else "int32"
        sums, quads, block, groups, last_quad = self.sums, self.quads, self.block, layout.groups, (rows - 1) // QUAD * QUAD
        add = float_product(layout, sums, block) if simd is None else integer_product(layout, sums, block, self.form)

        @T.inline
        def reckon(W, S, X, QSCALES, QSUMS, acc, starts, base, row0, zero):
            rows_at = T.alloc_buffer((sums,), "int32", scope="local")
            for i in T.unroll(sums):
                # What stands beyond the rows is padding of the last tile, or other rows: reckoned, and not stored.
                rows_at[i] = base + T.min(row0 + i % quads * QUAD, last_quad) + i // quads * rows
            for i in T.unroll(block * sums):
                acc[i] = T.Broadcast(T.float32(0), 4)
            for group in T.serial(groups):
                add(W, S, X, QSCALES, QSUMS, acc, rows_at, starts, group, zero)

        # Inline (W, S, X, QSCALES, QSUMS, acc, starts, base, row0, zero): acc[t * sums + i] = the sums of rows row0 + 4 i ... row0 + 4 i + 3
        # for token t and, where there is one pass, `quads` further on those of the second product; base: row 0 in W. `starts` and `zero` as in
        # integer_product.py.
        self.reckon = reckon

    def start(self, row, stride: int, offset: int):
        """Where the activations of a row of x begin; stride and offset are of x in float32."""
        return row * stride + offset if self.simd is None else row * self.layout.groups

    def x_size(self, rows: int, stride: int) -> int:
        """Values of X, or words."""
        return rows * (stride if self.simd is None else self.layout.groups * self.layout.vectors * WORDS)

    def parameters(self) -> list[Parameter]:
        """The first ones of a kernel: weights and activations."""
        whole = self.simd is not None
        present = [("W", True), ("S", self.layout.has_scale), ("X", True), ("QSCALES", whole), ("QSUMS", whole and self.layout.zero != 0)]
        return [Parameter(name) for name, wanted in present if wanted]
