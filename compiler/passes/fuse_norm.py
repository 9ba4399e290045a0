"""RMS norms take the scale before them, the residual after them and the scale after that into one kernel."""
import tvm

from .fuse_epilogue import constant
from .operators import make, parse
from .rewrite import is_op, rewrite_calls


def fuse_norm(module: tvm.IRModule) -> tvm.IRModule:
    """rms_norm(x [* c]) -> norm; residual + norm -> norm; norm * scale -> norm (scale: a constant or a tensor of one value)."""

    def norm_of(expression, definition, **wanted):
        op = parse(definition(expression))
        if op is None or op.name != "norm" or op["factor"] != 1.0 or op["output_scale"] is not None:
            return None
        return op if all((op[key] is None) == (not present) for key, present in wanted.items()) else None

    def rebuilt(op, type, **changed):
        return make("norm", type, **{**op.tensors, **op.attributes, **changed})

    def start(call, definition):
        if not is_op(call, "nn.rms_norm"):
            return None
        x, input_scale = call.args[0], 1.0
        reshaped = definition(x)
        scaled = definition(reshaped.args[0]) if is_op(reshaped, "reshape") else reshaped
        if is_op(scaled, "multiply") and (value := constant(definition(scaled.args[1]))) is not None:
            input_scale = value
            x = tvm.relax.op.reshape(scaled.args[0], reshaped.args[1]) if is_op(reshaped, "reshape") else scaled.args[0]
        return make("norm", call.ty, x=x, weight=call.args[1], eps=float(call.attrs.epsilon), input_scale=input_scale, factor=1.0)

    def add_residual(call, definition):
        if not is_op(call, "add"):
            return None
        op = norm_of(call.args[1], definition, residual=False)
        return op and rebuilt(op, call.ty, residual=call.args[0])

    def scale(call, definition):
        if not is_op(call, "multiply"):
            return None
        op = norm_of(call.args[0], definition)
        if op is None:
            return None
        value = constant(definition(call.args[1]))
        if value is not None:
            return rebuilt(op, call.ty, factor=value)
        return rebuilt(op, call.ty, output_scale=call.args[1]) if list(call.args[1].ty.shape) == [1] else None

    for rule in (start, add_residual, scale):
        module = rewrite_calls(module, rule)
    return module
