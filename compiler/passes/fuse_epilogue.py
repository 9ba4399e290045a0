"""What follows a matrix product element by element moves into the product's kernel."""
import tvm
from tvm import relax

from .operators import make, parse
from .rewrite import is_op, rewrite_calls


def constant(expression) -> float | None:
    """The value of a scalar constant, or None."""
    if isinstance(expression, tvm.ir.GenericConst) and len(expression.ty.shape) == 0:
        return float(expression.value.numpy())
    return None


def half_of_split(expression, index: int, definition):
    """The matrix whose half `index` along the last axis this is, or None."""
    item = definition(expression)
    if not (isinstance(item, relax.TupleGetItem) and item.index == index):
        return None
    split = definition(item.tuple_value)
    return split.args[0] if is_op(split, "split") and len(split.ty.fields) == 2 else None


def plain_linear(expression, definition):
    """The `linear` without epilogue that made this, or None."""
    op = parse(definition(expression))
    return op if op is not None and op.name == "linear" and op["epilogue"] == "none" else None


def fuse_epilogue(module: tvm.IRModule) -> tvm.IRModule:
    """gelu(first half) * second half of one product -> `gated`; gelu(product) * other -> `gated_by`;
    tanh(product / c) * c -> `softcap`."""

    def with_epilogue(linear, type, epilogue, cap=0.0, other=None):
        return make("linear", type, x=linear["x"], weight=linear["weight"], other=other, epilogue=epilogue, cap=cap)

    def rule(call, definition):
        if not is_op(call, "multiply"):
            return None
        left, right = definition(call.args[0]), call.args[1]
        if is_op(left, "nn.gelu_tanh"):
            gate, up = half_of_split(left.args[0], 0, definition), half_of_split(right, 1, definition)
            if gate is not None and up is not None and gate.same_as(up) and (linear := plain_linear(gate, definition)):
                return with_epilogue(linear, call.ty, "gated")
            if linear := plain_linear(left.args[0], definition):
                return with_epilogue(linear, call.ty, "gated_by", other=right)
        if is_op(left, "tanh") and (cap := constant(definition(right))) is not None:
            quotient = definition(left.args[0])
            if is_op(quotient, "divide") and constant(definition(quotient.args[1])) == cap:
                if linear := plain_linear(quotient.args[0], definition):
                    return with_epilogue(linear, call.ty, "softcap", cap=cap)
        return None

    return rewrite_calls(module, rule)
