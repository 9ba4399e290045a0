"""Norm and RoPE of Q, K and V move into the kernels that read them: no launch and no buffer of their own."""
import tvm

from .operators import make, parse
from .rewrite import is_op, rewrite_calls


def fuse_attention_inputs(module: tvm.IRModule) -> tvm.IRModule:
    """kv_append(cache, rope(rms_norm(k)), [unit_rms_norm](v)) and attend(rope(rms_norm(q)), …) take the raw k, v and q."""

    def unrotated(expression, definition):
        """(raw, norm weight or None, eps, rope) of rope([rms_norm](raw)), or None."""
        rope = parse(definition(expression))
        if rope is None or rope.name != "rope":
            return None
        inner = definition(rope["x"])
        if is_op(inner, "nn.rms_norm"):
            return inner.args[0], inner.args[1], float(inner.attrs.epsilon), rope
        return rope["x"], None, 0.0, rope

    def rule(call, definition):
        op = parse(call)
        if op is None or op.name not in ("kv_append", "attend"):
            return None
        found = unrotated(op["k" if op.name == "kv_append" else "q"], definition)
        if found is None:
            return None
        raw, weight, eps, rope = found
        shared = dict(cache=op["cache"], state=op["state"], eps=eps, rotation=rope["rotation"])
        if op.name == "attend":
            return make("norm_rope_attend", op.type, q=raw, q_norm_weight=weight, window=op["window"], scale=op["scale"],
                        blocks=op["blocks"], **shared)
        v = parse(definition(op["v"]))
        normed = v is not None and v.name == "unit_rms_norm"
        if normed and weight is not None and v["eps"] != eps:
            return None
        return make("norm_rope_kv_append", op.type, k=raw, v=v["x"] if normed else op["v"], k_norm_weight=weight, v_norm=v["factor"] if normed else 0.0,
                    **{**shared, "eps": v["eps"] if normed else eps})

    return rewrite_calls(module, rule)
