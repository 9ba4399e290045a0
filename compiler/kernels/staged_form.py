"""Forms of a chunk's product that round activations: a workgroup rounds those of its tokens into workgroup memory, a stage of columns at a
time, in groups of 32 that share a size; then its threads multiply them with whole groups of weights."""
from collections.abc import Callable
from dataclasses import dataclass

from tvm.script import tirx as T

from ..quantize.format import GROUP
from .dequantize import WeightLayout, load_scale
from .kernel import ceil_div, exact
from .rounding import Rounding, whole_steps

# Activations below are taken for zeros: what they are divided by need not have an inverse in float32.
SMALLEST = 1e-30
GROUP_VECTORS = GROUP // 4


@dataclass(frozen=True)
class StagedForm:
    """name: part of the kernels' names. requires: what a device must offer. formats: of weights, whole numbers within int8. largest: the
    magnitude of a group's largest activation as it is stored. vector: type in workgroup memory, `vectors` a group. stage_groups: groups
    that lie there at a time. steps: whether whole steps up to 128, as a rounding leaves them, come through exactly.

    store: inline (words, at, x: local float32x4[8]) that stores a group, as numbers up to `largest`, from words[at] on.
    weights: (layout) -> function (W, row, group) -> a group's weights, and `multiply`: function (weights, words, at) -> their sum of
    products with the activations at words[at], float32, not scaled.
    """

    name: str
    requires: str
    formats: tuple[str, ...]
    largest: float
    vector: str
    vectors: int
    stage_groups: int
    steps: bool
    store: Callable
    weights: Callable
    multiply: Callable

    def takes(self, format: str, rounding: Rounding | None = None) -> bool:
        """Whether a product of this format has the form. Rows that see x rounded in different ways cannot share it."""
        return format.partition("_")[0] in self.formats and (rounding is None or self.steps and rounding.one_input)

    def stages(self, layout: WeightLayout) -> int:
        return ceil_div(layout.groups * (layout.group // GROUP), self.stage_groups)

    def round_stage(self, layout: WeightLayout, tile_tokens: int, threads: int, rounding: Rounding | None):
        """Inline (A, X, words: workgroup, sizes: workgroup float32, stage, thread, start_of).

        Leaves a stage of the tile's activations, [tokens][groups][vectors], and the size of 1 for each token and group of 32; with
        rounding, its own whole steps as they are, and 1. start_of: Python function (token of the tile) -> the vector in X where its
        values start.
        """
        last, stage_groups, vectors = layout.columns // 4 - 1, self.stage_groups, self.vectors
        whole = layout.columns % (stage_groups * GROUP) == 0
        largest, store = self.largest, self.store

        @T.inline
        def round_all(A, X, words, sizes, stage, thread, start_of):
            x = T.alloc_buffer((GROUP_VECTORS,), "float32x4", scope="local")
            top = T.alloc_buffer((1,), "float32x4", scope="local")
            size = T.alloc_buffer((2,), "float32", scope="local")
            for i in T.serial(ceil_div(tile_tokens * stage_groups, threads)):
                item: T.int32 = i * threads + thread
                if item < tile_tokens * stage_groups:
                    start: T.int32 = start_of(item // stage_groups)
                    k4: T.int32 = (stage * stage_groups + item % stage_groups) * GROUP_VECTORS
                    for j in T.unroll(GROUP_VECTORS):
                        if whole:
                            x[j] = X[start + k4 + j]
                        else:
                            x[j] = T.Select(k4 + j <= last, X[start + T.min(k4 + j, last)], T.Broadcast(T.float32(0), 4))
                    top[0] = T.Broadcast(T.float32(0), 4)
                    for j in T.unroll(GROUP_VECTORS):
                        if rounding is not None:
                            x[j] = whole_steps(x[j], rounding.input_step(A, 0))
                        top[0] = T.call_pure_extern("float32x4", "max", top[0], T.call_pure_extern("float32x4", "abs", x[j]))
                    size[0] = T.call_pure_extern("float32", "max", T.call_pure_extern("float32", "max", _lane(top[0], 0), _lane(top[0], 1)),
                                                 T.call_pure_extern("float32", "max", _lane(top[0], 2), _lane(top[0], 3)))
                    size[1] = T.Select(size[0] > exact(SMALLEST), T.float32(largest) / size[0], T.float32(0))
                    size[0] = size[0] * exact(1 / largest)
                    if rounding is not None:
                        for j in T.unroll(2):
                            size[j] = T.Select(rounding.input_step(A, 0) != T.float32(0), T.float32(1), size[j])
                    for j in T.unroll(GROUP_VECTORS):
                        x[j] = x[j] * T.Broadcast(size[1], 4)
                    store(words, item * vectors, x)
                    sizes[item] = size[0]

        return round_all

    def multiply_stage(self, layout: WeightLayout, slots: int, tokens: int):
        """Inline (W, S, words, sizes, acc, row_of_slot, token, stage): acc[slot * tokens + t] += W[row of slot] . x of token + t, over a
        stage of columns. words, sizes: as `round_stage` leaves them. token: a thread's first, of the tile. row_of_slot: as in
        `multiply_step`."""
        weights_of, multiply, scale_of = self.weights(layout), self.multiply, load_scale(layout)
        groups, stage_groups, vectors = layout.groups * (layout.group // GROUP), self.stage_groups, self.vectors

        def add_group(W, S, words, sizes, acc, row_of_slot, token, group, g):
            pair = T.alloc_buffer((2,), "float32", scope="local")
            weights, scales = [], []
            for r in range(slots):
                row, weight_group = row_of_slot(r), group * GROUP // layout.group
                scale_of(S, row, weight_group, pair)
                scales.append(T.bind(T.Select(weight_group % 2 == 0, pair[0], pair[1])))
                weights.append(weights_of(W, row, group))
            for t in range(tokens):
                at = T.bind((token + t) * stage_groups + g)
                x = [T.bind(words[at * vectors + j]) for j in range(vectors)]
                for r in range(slots):
                    place = r * tokens + t
                    T.buffer_store(acc, acc[place] + multiply(weights[r], x) * (scales[r] * sizes[at]), [place])

        @T.inline
        def multiply_all(W, S, words, sizes, acc, row_of_slot, token, stage):
            for g in T.serial(T.min(stage_groups, groups - stage * stage_groups)):
                add_group(W, S, words, sizes, acc, row_of_slot, token, stage * stage_groups + g, g)

        return multiply_all


def _lane(vector, i: int):
    return T.Shuffle([vector], [i])
