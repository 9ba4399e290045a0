"""In steps of one token, the norm before a matrix product rides along in it (compiler/kernels/linear_vector.py)."""
import tvm

from ..kernels.linear_vector import ROWS_WITHOUT_SPLIT
from .operators import make, parse
from .rewrite import rewrite_calls


def fuse_norm_linear(module: tvm.IRModule) -> tvm.IRModule:
    """linear(norm(x)) -> linear with a norm weight, for one row of x.

    Not for products with so many rows (the LM head) that each would repeat the sum of squares for little.
    """

    def rule(call, definition):
        op = parse(call)
        if op is None or op.name != "linear" or op["norm_weight"] is not None or int(op.type.shape[0]) != 1:
            return None
        norm = parse(definition(op["x"]))
        plain = norm is not None and norm.name == "norm" and norm["residual"] is None and norm["output_scale"] is None
        if not plain or norm["input_scale"] != 1.0 or norm["factor"] != 1.0 or int(op.type.shape[1]) >= ROWS_WITHOUT_SPLIT:
            return None
        return make("linear", op.type, **{**op.tensors, **op.attributes, "x": norm["x"], "norm_weight": norm["weight"], "eps": norm["eps"]})

    return rewrite_calls(module, rule)
