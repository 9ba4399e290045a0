"""In steps of one token, attention is cut into parts that run side by side, and writes the token's own key and value itself."""
import tvm
from tvm import relax

from ..kernels.attention_vector import splits_for
from .operators import make, parse
from .rewrite import Fused, rewrite_calls


def fuse_attention_parts(module: tvm.IRModule) -> tvm.IRModule:
    """norm_rope_attend(q, [norm_rope_kv_append](cache, k, v)) -> attend_parts, and the product after it adds the parts up."""

    def appended(op, definition):
        """The norm_rope_kv_append that made the cache, where it can move into the attention, or None."""
        append = parse(definition(op["cache"]))
        if append is None or append.name != "norm_rope_kv_append" or int(append["k"].ty.shape[0]) != 1:
            return None
        same_rotation = append["rotation"] == op["rotation"]
        normed = [each["eps"] for each in (append, op) if each["eps"]]
        return append if same_rotation and len(set(normed)) <= 1 else None

    def attention(call, definition):
        op = parse(call)
        if op is None or op.name != "norm_rope_attend" or int(op.type.shape[0]) != 1:
            return None
        append = appended(op, definition)
        own = {} if append is None else {key: append[key] for key in ("k", "v", "k_norm_weight")}
        cache = op["cache"] if append is None else append["cache"]
        parts = splits_for(int(cache.ty.shape[1]))
        types = [relax.TensorType([parts, op.type.shape[1]], "float32"), cache.ty]
        fused = make("attend_parts", types, q=op["q"], cache=cache, state=op["state"], q_norm_weight=op["q_norm_weight"], **own,
                     window=op["window"], scale=op["scale"], eps=op["eps"] or (append["eps"] if append else 0.0), rotation=op["rotation"],
                     v_norm=append["v_norm"] if append else 0.0)
        return Fused(fused, (op["cache"],))

    return rewrite_calls(module, attention)
