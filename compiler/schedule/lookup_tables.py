"""Finds the tables that are only looked up: a token reads one row of them, and no product reads them at all.

Gemma's per-layer embeddings are such a table; so is a token embedding that is not the LM head too. They have a layout of their own
(a row's bytes lie together) and need not lie in one buffer, nor in GPU memory.
"""
import tvm
from tvm import relax

from ..passes.operators import parse


def lookup_tables(module: tvm.IRModule, weights: list[str]) -> frozenset[str]:
    """Names of the weights that no step reads but to embed tokens. `weights`: names of the functions' parameters behind their inputs."""
    looked_up, used = set(), set()
    for function in module.functions.values():
        names = dict(zip(function.params[int(function.attrs["num_input"]):], weights))
        for block in function.body.blocks:
            for binding in block.bindings:
                read = {names[variable] for variable in relax.analysis.free_vars(binding.value) if variable in names}
                operator = parse(binding.value)
                (looked_up if operator is not None and operator.name == "embed" else used).update(read)
    return frozenset(looked_up - used)
