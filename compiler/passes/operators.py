"""The legal operators between the passes, as data.

An operator is a Relax call `call_dps_packed("gemlet.NAME", (tensor, …, attribute, …))`; an absent optional tensor is an
empty tuple. Names without `*` come from the model definitions (model_defs/operators.py), the others from passes.
"""
from dataclasses import dataclass

import tvm
from tvm import relax

from ..errors import GemletError


@dataclass(frozen=True)
class Schema:
    tensors: tuple[str, ...]
    attributes: tuple[str, ...] = ()


SCHEMAS = {
    "embed": Schema(("tokens", "weight"), ("scale",)),
    # factor: what the result is multiplied with.
    "unit_rms_norm": Schema(("x",), ("eps", "factor")),
    "rope": Schema(("x", "state"), ("rotation",)),
    "kv_append": Schema(("cache", "k", "v", "state")),
    "attend": Schema(("q", "cache", "state"), ("window", "scale", "blocks")),
    "route": Schema(("scores", "per_expert_scale"), ("chosen",)),
    "experts_gated": Schema(("x", "weight", "routing")),
    "experts_sum": Schema(("x", "weight", "routing")),
    "last_row": Schema(("x", "state")),
    # * y = epilogue(x weight^T). Epilogues: compiler/kernels/epilogue.py.
    "linear": Schema(("x", "weight", "other"), ("epilogue", "cap")),
    # * linear for one token, with all that makes its x (compiler/kernels/vector_input.py); heads: of an attention in parts, else 0.
    # Two results where there is a residual: y, and the residual stream after x joined it.
    "vector_linear": Schema(("x", "weight", "other", "branch", "first_norm_weight", "branch_norm_weight", "residual", "residual_norm_weight",
                             "output_scale", "norm_weight"), ("epilogue", "cap", "eps", "factor", "norm_factor", "heads")),
    # * y = (residual + rms_norm(input_scale x) weight) * output_scale; output_scale a tensor or, where absent, `factor`.
    "norm": Schema(("x", "weight", "residual", "output_scale"), ("eps", "input_scale", "factor")),
    # * kv_append with K normed and rotated and V normed on the way, times v_norm (0: not normed); an absent k_norm_weight: no norm of K.
    "norm_rope_kv_append": Schema(("cache", "k", "v", "state", "k_norm_weight"), ("eps", "rotation", "v_norm")),
    # * attend for one token, with Q normed and rotated on the way, in parts that the next product adds up. Where k is there, it and v are the
    # token's own, and join the cache here, as in norm_rope_kv_append. Results: the parts [splits, H * D], and the cache.
    "attend_parts": Schema(("q", "cache", "state", "q_norm_weight", "k", "v", "k_norm_weight"), ("window", "scale", "eps", "rotation", "v_norm")),
    # * experts_gated for one token, with the norm of x and the choice of the experts on the way. Results: the gated rows, and the routing.
    "routed_experts_gated": Schema(("x", "weight", "scores", "per_expert_scale", "norm_weight"), ("eps", "chosen")),
    # * attend with Q normed and rotated on the way.
    "norm_rope_attend": Schema(("q", "cache", "state", "q_norm_weight"), ("window", "scale", "blocks", "eps", "rotation")),
}


@dataclass(frozen=True)
class Operator:
    """A parsed call: `op.tensors["x"]` is an expression or None, `op.attributes["eps"]` a Python number or string.

    type: of the result, or of all of them as a tuple.
    """

    name: str
    tensors: dict[str, relax.Expr | None]
    attributes: dict[str, float | int | str]
    type: relax.TensorType | relax.TupleType

    def __getitem__(self, key: str):
        return self.tensors[key] if key in self.tensors else self.attributes[key]


def parse(expression) -> Operator | None:
    """The operator of a Relax expression, or None where it is something else. GemletError where it breaks its schema."""
    if not (isinstance(expression, relax.Call) and expression.op == tvm.ir.Op.get("relax.call_dps_packed")):
        return None
    name = str(expression.args[0].global_symbol).removeprefix("gemlet.")
    schema, arguments = SCHEMAS.get(name), list(expression.args[1].fields)
    if schema is None or len(arguments) != len(schema.tensors) + len(schema.attributes):
        raise GemletError(f"operator {name}: {len(arguments)} arguments; expected {schema or 'an operator of ' + ', '.join(SCHEMAS)}")
    split = len(schema.tensors)
    tensors = {key: None if isinstance(value, relax.Tuple) else value for key, value in zip(schema.tensors, arguments[:split])}
    attributes = {key: python_value(name, key, value) for key, value in zip(schema.attributes, arguments[split:])}
    return Operator(name, tensors, attributes, expression.ty_args[0])


def python_value(name: str, key: str, value):
    """An attribute's immediate as a Python value."""
    if isinstance(value, (tvm.tirx.IntImm, tvm.tirx.FloatImm, tvm.ir.StringImm)):
        return value.value if not isinstance(value, tvm.ir.StringImm) else str(value.value)
    raise GemletError(f"operator {name}: attribute {key} is {value}, expected a constant")


def make(name: str, type: relax.TensorType | list[relax.TensorType], **values) -> relax.Call:
    """The call of an operator; tensors left out are absent, attributes must all be given. type: a list for several results."""
    schema = SCHEMAS[name]
    unknown = set(values) - {*schema.tensors, *schema.attributes}
    missing = set(schema.attributes) - set(values)
    if unknown or missing:
        raise GemletError(f"operator {name}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    tensors = [relax.Tuple([]) if values.get(key) is None else values[key] for key in schema.tensors]
    return relax.call_dps_packed(f"gemlet.{name}", tensors + [immediate(values[key]) for key in schema.attributes], out_ty=type)


def immediate(value: float | int | str):
    if isinstance(value, str):
        return tvm.ir.StringImm(value)
    return tvm.tirx.IntImm("int64", value) if isinstance(value, int) else tvm.tirx.FloatImm("float64", value)
