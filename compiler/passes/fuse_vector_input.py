"""In steps of one token, what comes between two matrix products moves into the second (compiler/kernels/vector_input.py)."""
import tvm
from tvm import relax

from .operators import Operator, make, parse
from .rewrite import Fused, rewrite_calls


def fuse_vector_input(module: tvm.IRModule) -> tvm.IRModule:
    """linear -> vector_linear, for one row of x, which takes along the norm before it, and before that the norm that adds to the residual
    stream, unless an earlier product has done that already; and the sum of an attention's parts."""

    def norm_of(expression, definition) -> Operator | None:
        op = parse(definition(expression))
        return op if op is not None and op.name == "norm" and op["input_scale"] == 1.0 else None

    def plain(op: Operator | None) -> bool:
        return op is not None and op["residual"] is None and op["output_scale"] is None

    def branches(x, eps, definition) -> dict:
        """The tensors of norm(a) + norm(b) that x is, or of x itself."""
        outer = norm_of(x, definition)
        inner = None if outer is None or outer["residual"] is None else norm_of(outer["residual"], definition)
        simple = plain(inner) and outer["output_scale"] is None and inner["factor"] == outer["factor"] == 1.0
        if not simple or {inner["eps"], outer["eps"]} != {eps}:
            return dict(x=x)
        return dict(x=inner["x"], first_norm_weight=inner["weight"], branch=outer["x"], branch_norm_weight=outer["weight"])

    def rule(call, definition):
        op = parse(call)
        if op is None or op.name != "linear" or int(op.type.shape[0]) != 1:
            return None
        shared = dict(weight=op["weight"], other=op["other"], epilogue=op["epilogue"], cap=op["cap"])
        source = definition(op["x"])
        if isinstance(source, relax.TupleGetItem) and (attention := parse(definition(source.tuple_value))) and attention.name == "attend_parts":
            return make("vector_linear", op.type, x=op["x"], **shared, eps=0.0, factor=1.0, norm_factor=1.0, heads=int(attention["q"].ty.shape[1]))
        norm = norm_of(op["x"], definition)
        own_norm = dict(norm_weight=norm["weight"], norm_factor=norm["factor"]) if plain(norm) else dict(norm_factor=1.0)
        stream = norm["x"] if plain(norm) else op["x"]
        added = norm_of(stream, definition)
        eps = {each["eps"] for each in ((norm if plain(norm) else None), added) if each is not None}
        if added is None or added["residual"] is None or len(eps) > 1 or not isinstance(stream, relax.Var):
            return make("vector_linear", op.type, x=stream, **shared, **own_norm, eps=norm["eps"] if plain(norm) else 0.0, factor=1.0, heads=0)
        # With another operand the branches would be a ninth buffer, where every device has eight: they stay norms of their own.
        joined = branches(added["x"], added["eps"], definition) if op["other"] is None else dict(x=added["x"])
        fused = make("vector_linear", [op.type, stream.ty], **joined, residual=added["residual"],
                     residual_norm_weight=added["weight"], output_scale=added["output_scale"], **shared, **own_norm, eps=added["eps"],
                     factor=added["factor"], heads=0)
        return Fused(fused, (stream,))

    return rewrite_calls(module, rule)
