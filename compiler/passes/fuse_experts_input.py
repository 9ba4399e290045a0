"""In steps of one token, the experts' first product norms its input and chooses the experts itself."""
import tvm
from tvm import relax

from .operators import make, parse
from .rewrite import Fused, rewrite_calls


def fuse_experts_input(module: tvm.IRModule) -> tvm.IRModule:
    """experts_gated(norm(x), route(scores)) -> routed_experts_gated, for one row of scores."""

    def rule(call, definition):
        op = parse(call)
        if op is None or op.name != "experts_gated" or int(op["routing"].ty.shape[0]) != 1 or not isinstance(op["routing"], relax.Var):
            return None
        route, norm = parse(definition(op["routing"])), parse(definition(op["x"]))
        plain = norm is not None and norm.name == "norm" and norm["residual"] is None and norm["output_scale"] is None
        if route is None or route.name != "route" or not plain or norm["input_scale"] != 1.0 or norm["factor"] != 1.0:
            return None
        fused = make("routed_experts_gated", [op.type, op["routing"].ty], x=norm["x"], weight=op["weight"], scores=route["scores"],
                     per_expert_scale=route["per_expert_scale"], norm_weight=norm["weight"], eps=norm["eps"], chosen=route["chosen"])
        return Fused(fused, (op["routing"],))

    return rewrite_calls(module, rule)
