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
    "unit_rms_norm": Schema(("x",), ("eps",)),
    "rope": Schema(("x", "state"), ("theta", "fraction")),
    "kv_append": Schema(("cache", "k", "v", "state")),
    "attend": Schema(("q", "cache", "state"), ("window", "scale", "blocks")),
    "route": Schema(("scores", "per_expert_scale"), ("chosen",)),
    "experts_gated": Schema(("x", "weight", "routing")),
    "experts_sum": Schema(("x", "weight", "routing")),
    "last_row": Schema(("x", "state")),
    # * y = epilogue(norm(x) weight^T); eps 0: no norm. Epilogues: compiler/kernels/epilogue.py.
    "linear": Schema(("x", "weight", "norm_weight", "other"), ("eps", "epilogue", "cap")),
    # * y = (residual + rms_norm(input_scale x) weight) * output_scale; output_scale a tensor or, where absent, `factor`.
    "norm": Schema(("x", "weight", "residual", "output_scale"), ("eps", "input_scale", "factor")),
    # * kv_append with K normed and rotated and V normed (v_norm 1) on the way; an absent k_norm_weight: no norm of K.
    "norm_rope_kv_append": Schema(("cache", "k", "v", "state", "k_norm_weight"), ("eps", "theta", "fraction", "v_norm")),
    # * attend with Q normed and rotated on the way.
    "norm_rope_attend": Schema(("q", "cache", "state", "q_norm_weight"), ("window", "scale", "blocks", "eps", "theta", "fraction")),
}


@dataclass(frozen=True)
class Operator:
    """A parsed call: `op.tensors["x"]` is an expression or None, `op.attributes["eps"]` a Python number or string."""

    name: str
    tensors: dict[str, relax.Expr | None]
    attributes: dict[str, float | int | str]
    type: relax.TensorType

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


def make(name: str, type: relax.TensorType, **values) -> relax.Call:
    """The call of an operator; tensors left out are absent, attributes must all be given."""
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
