"""x W^T becomes the operator `linear`, the form that quantized kernels compute."""
import tvm

from .operators import make
from .rewrite import is_op, rewrite_calls


def lower_linear(module: tvm.IRModule) -> tvm.IRModule:
    """matmul(x, permute_dims(weight)) -> linear(x, weight)."""

    def rule(call, definition):
        if not is_op(call, "matmul"):
            return None
        transposed = definition(call.args[1])
        if not is_op(transposed, "permute_dims"):
            return None
        return make("linear", call.ty, x=call.args[0], weight=transposed.args[0], epilogue="none", cap=0.0)

    return rewrite_calls(module, rule)
