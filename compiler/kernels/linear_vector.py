"""Matrix-vector product y = W x with quantized W: the work of a decoded token.

A thread owns rows of tiles of 32 (neighbouring threads load neighbouring 16 bytes). The threads of a workgroup first make x
together (compiler/kernels/vector_input.py), which all of them then read; where the rows alone would not fill a GPU, `splits`
groups of threads share the columns and add their parts once. Eight of them, not four: what a thread waits for is the chain of its
loads (docs/performance.md).
"""
from dataclasses import dataclass, replace

from tvm.script import tirx as T

from .dequantize import WeightLayout
from .epilogue import gelu, softcap
from .kernel import TILE, Kernel, Parameter, ceil_div
from .linear_common import linear_name, row_of
from .rounding import Rounding, rounded, step_size, whole_steps
from .vector_input import StagedInput, VectorInput
from .vector_tile import add_group, sum_splits


@dataclass(frozen=True)
class Shape:
    """row_tiles: tiles of 32 rows that a thread has a row of. row_groups: groups of threads with rows of their own, `splits`: with
    columns of their own; a workgroup has 32 * row_groups * splits threads."""

    row_tiles: int = 1
    row_groups: int = 1
    splits: int = 8

    @property
    def rows(self) -> int:
        """Rows of y that a workgroup computes."""
        return TILE * self.row_tiles * self.row_groups

    @property
    def threads(self) -> int:
        return TILE * self.row_groups * self.splits

    @property
    def name(self) -> str:
        return f"t{self.row_tiles}g{self.row_groups}s{self.splits}"


# Rows enough to fill a GPU without sharing the columns out: no thread waits for another's part, and a load of x serves four rows.
MANY_ROWS = 16384
FOR_MANY_ROWS = Shape(row_tiles=4, row_groups=4, splits=1)


def shape_for(rows: int) -> Shape:
    """How the product of a matrix with `rows` rows of y is cut up."""
    return FOR_MANY_ROWS if rows >= MANY_ROWS else Shape()


# A product of fewer weights than this is over so soon that no other shape would show.
WORTH_OTHER_SHAPES = 1 << 19


def other_shapes(rows: int, weights: int, peaks: bool) -> tuple[Shape, ...]:
    """What a device may run faster than `shape_for(rows)`, for the engine to try. Whoever reads the peaks counts on the rows of a workgroup."""
    if weights < WORTH_OTHER_SHAPES:
        return ()
    # The last one is for few cores, whatever the rows: the fewest workgroups, and no barrier but those of x.
    shapes = (Shape(row_tiles=2, row_groups=8, splits=1),) if rows >= MANY_ROWS else (Shape(row_groups=2, splits=4), FOR_MANY_ROWS)
    return tuple(shape for shape in shapes if not peaks or shape.rows == shape_for(rows).rows)


def linear_vector(rows: int, columns: int, format: str, source: VectorInput = VectorInput(), epilogue: str = "none", cap: float = 0.0,
                  rounding: Rounding | None = None, peaks: bool = False, shape: Shape | None = None) -> Kernel:
    """y[N] = epilogue(W[N, K] x[K]), x made from `source`; all activations float32.

    epilogue: `gated`: W holds 2 N rows, y = gelu(first half) * second half; `gated_by`: y = gelu(W x) * E from a value on that V
    tells, so that layers which read different parts of E share the kernel; `softcap`: y = cap * tanh(W x / cap). rounding: x and
    W x (before the epilogue) are rounded to the steps in V. peaks: the last product of a step: PEAKS[i] is the largest of the y of
    workgroup i, and H is left out, since nothing reads the residual stream after it.
    V: the gains of `source`, then the numbers it needs, the place in E and the table of steps, each where there is one.
    shape: None for that of `shape_for`, with the others as variants.
    """
    gated = epilogue == "gated"
    layout = WeightLayout(2 * rows if gated else rows, columns, format)
    products = 2 if gated else 1
    variants = () if shape else tuple(linear_vector(rows, columns, format, source, epilogue, cap, rounding, peaks, other)
                                      for other in other_shapes(rows, layout.rows * columns, peaks))
    shape_name = shape.name if shape else ""
    shape = shape or shape_for(rows)
    shape = replace(shape, splits=min(shape.splits, layout.groups))
    threads, row_groups, splits = shape.threads, shape.row_groups, shape.splits
    slots = shape.row_tiles * products
    stores = source.residual is not None and not peaks
    staged_input = StagedInput(source, columns, layout.groups * layout.group, threads, stores)
    chunk_groups = staged_input.chunk // layout.group
    row_at = row_of(rows, shape.row_tiles, products)
    apart = rounding is not None and not rounding.one_input
    add, total = add_group(layout, slots, padded=True), sum_splits(splits, row_groups, slots)
    prepare = staged_input.prepare()
    first_place = 1 if source.scale == "tensor" else 0
    first_step = first_place + (1 if epilogue == "gated_by" else 0)
    numbers_used = first_step + (rounding.words if rounding else 0)
    number_vectors = ceil_div(numbers_used, 4)
    v_vectors = source.gains * (columns // 4) + number_vectors
    partial_size = max(threads * (slots if splits > 1 else 1), source.heads * source.splits)
    x_values = source.x_values(columns)
    blocks = ceil_div(rows, shape.rows)
    name = "_".join(filter(None, (linear_name("linear_vector", rows, columns, format, epilogue, cap, rounding), source.name, "peaks" if peaks else "",
                                  shape_name)))

    class Steps:
        """The table of compiler/kernels/rounding.py as it lies among the numbers."""

        def __init__(self, numbers):
            self.numbers = numbers

        def __getitem__(self, index):
            return self.numbers[first_step + index]

    def rounding_of_all(steps):
        """How x is rounded while it is staged, or None."""
        return (lambda x: whole_steps(x, rounding.input_step(steps, 0))) if rounding is not None and not apart else None

    def rounding_by_row(steps, row):
        """How each slot rounds x for itself, or None."""
        return (lambda x, slot: whole_steps(x, rounding.input_step(steps, row(slot)))) if apart else None

    @T.inline
    def load_numbers(V, numbers):
        for i in T.unroll(number_vectors):
            numbers[T.Ramp(i * 4, 1, 4)] = V[source.gains * (columns // 4) + i]

    @T.inline
    def store_peak(PEAKS, partial, best, block, thread):
        partial[thread] = best
        T.tvm_storage_sync("shared")
        if thread == 0:
            for i in T.serial(threads):
                best = T.max(best, partial[i])
            PEAKS[block] = best

    @T.jit
    def func(W: T.Buffer((layout.data_units,), "uint32x4"), S: T.Buffer((layout.scale_total,), "uint32"),
             X: T.Buffer((x_values // 4,), "float32x4"), STATS: T.Buffer((max(1, 2 * source.heads * source.splits),), "float32"),
             M: T.Buffer((columns // 4,), "float32x4"), R: T.Buffer((columns // 4,), "float32x4"), V: T.Buffer((max(1, v_vectors),), "float32x4"),
             E: T.Buffer((rows,), "float32"), Y: T.Buffer((rows,), "float32"), H: T.Buffer((columns // 4,), "float32x4"),
             PEAKS: T.Buffer((blocks,), "float32")):
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        for bx in T.thread_binding(blocks, thread="blockIdx.x"):
            for ty in T.thread_binding(row_groups * splits, thread="threadIdx.y"):
                for tx in T.thread_binding(TILE, thread="threadIdx.x"):
                    staged = T.alloc_buffer((staged_input.chunk // 4,), "float32x4", scope="shared")
                    partial = T.alloc_buffer((partial_size,), "float32", scope="shared")
                    acc = T.alloc_buffer((slots,), "float32", scope="local")
                    factors = T.alloc_buffer((4,), "float32", scope="local")
                    numbers = T.alloc_buffer((max(4, 4 * number_vectors),), "float32", scope="local")
                    thread: T.int32 = ty * TILE + tx
                    tile_group: T.int32 = bx * row_groups + ty // splits
                    split: T.int32 = ty % splits
                    # In use from here on: else TVM might give it the memory of `staged`, which has another type.
                    partial[thread] = T.float32(0)
                    for i in T.unroll(slots):
                        acc[i] = T.float32(0)
                    load_numbers(V, numbers)
                    steps = T.meta_var(Steps(numbers))
                    prepare(X, M, R, V, H, STATS, numbers, factors, partial, bx, thread)
                    stage = T.meta_var(staged_input.stage(rounding_of_all(steps)))
                    for chunk in T.serial(staged_input.chunks):
                        stage(X, M, R, V, numbers, factors, partial, staged, chunk, thread)
                        for i in T.serial(ceil_div(chunk_groups, splits)):
                            in_chunk: T.int32 = i * splits + split
                            if in_chunk < chunk_groups and chunk * chunk_groups + in_chunk < layout.groups:
                                add(W, S, staged, acc, lambda slot: row_at(tile_group, slot) + tx, in_chunk * layout.vectors,
                                    chunk * chunk_groups + in_chunk, rounding_by_row(steps, lambda slot: row_at(tile_group, slot) + tx))
                    if splits > 1:
                        total(acc, partial, ty // splits, split, tx)
                    if rounding is not None:
                        for i in T.unroll(slots):
                            row = T.meta_var(row_at(tile_group, i) + tx)
                            acc[i] = rounded(acc[i] * step_size(rounding.input_step(steps, row)), rounding.output_step(steps, row))
                    best = T.alloc_buffer((1,), "float32", scope="local")
                    best[0] = T.float32(-3.0e38)
                    for i in T.unroll(shape.row_tiles):
                        row: T.int32 = (tile_group * shape.row_tiles + i) * TILE + tx
                        if split == 0 and row < rows:
                            y = T.meta_var(acc[i * products])
                            if gated:
                                Y[row] = gelu(y) * acc[i * products + 1]
                            elif epilogue == "gated_by":
                                Y[row] = gelu(y) * E[T.Cast("int32", numbers[first_place]) + row]
                            elif epilogue == "softcap":
                                Y[row] = softcap(y, cap)
                            else:
                                Y[row] = y
                            if peaks:
                                best[0] = T.max(best[0], Y[row])
                    if peaks:
                        T.tvm_storage_sync("shared")
                        store_peak(PEAKS, partial, best[0], bx, thread)

    present = [(Parameter("W"), True), (Parameter("S"), layout.has_scale), (Parameter("X", bytes_moved=4 * (x_values - source.offset)), True),
               (Parameter("STATS", bytes_moved=8 * source.heads * source.splits), source.heads > 0),
               (Parameter("M", bytes_moved=4 * columns), source.branches is not None), (Parameter("R", bytes_moved=4 * columns), source.residual is not None),
               (Parameter("V"), v_vectors > 0), (Parameter("E", bytes_moved=4 * rows), epilogue == "gated_by"),
               (Parameter("Y", written=True, bytes_moved=4 * rows), True), (Parameter("H", written=True, bytes_moved=4 * columns), stores),
               (Parameter("PEAKS", written=True, bytes_moved=4 * blocks), peaks)]
    return Kernel(name, func, (blocks, 1), tuple(parameter for parameter, wanted in present if wanted), layout.rows * columns,
                  variants=variants)
