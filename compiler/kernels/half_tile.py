"""Products in float16: weights that are whole numbers are exact there, and activations lose three of float32's seven digits.

Activations are divided by the largest of their group, since Gemma's leave float16's range. Four products are added up in float16, where
they cannot overflow; all else is added up in float32.
"""
from tvm.script import tirx as T

from .dequantize import WeightLayout, unit_values
from .kernel import HALF
from .staged_form import GROUP_VECTORS, StagedForm


@T.inline
def store(words, at, x):
    for j in T.unroll(GROUP_VECTORS):
        words[at + j] = T.call_pure_extern("float16x4", "vec4<f16>", x[j])


def weights(layout: WeightLayout):
    """The function (W, row, group) -> the weights of a group of 32, in vectors of four."""
    values_of, units = unit_values(layout.format), layout.units_per_group
    unit_vectors = layout.values_per_unit // 4

    def load(W, row, group):
        loaded = [T.bind(W[layout.unit(row, group * units + j)]) for j in range(units)]
        return [T.bind(T.call_extern("float16x4", "vec4<f16>", values_of(loaded[v // unit_vectors], v % unit_vectors))) for v in range(GROUP_VECTORS)]

    return load


def multiply(weights, x):
    total = T.float32(0)
    for w, value in zip(weights, x):
        total = total + T.Cast("float32", T.call_pure_extern("float16", "dot", w, value))
    return total


# 8 KiB of workgroup memory for 32 tokens.
HALVES = StagedForm("half", HALF, ("q8", "q4", "m8", "m4"), 1.0, "float16x4", GROUP_VECTORS, 4, False, store, weights, multiply)
