"""The kernel, or kernels, of each operator."""
from functools import cache

from ..errors import GemletError
from ..kernels.attention import attention_kernel
from ..kernels.embed import embed_kernel, last_row_kernel
from ..kernels.experts_matrix import experts_matrix, weighted_sum_kernel
from ..kernels.experts_vector import experts_gated_vector, experts_sum_vector
from ..kernels.kv_append import kv_append_kernel
from ..kernels.linear_matrix import linear_matrix
from ..kernels.linear_vector import linear_vector
from ..kernels.norm import norm_kernel
from ..kernels.route import group_kernel, route_kernel
from ..quantize import format_named
from .lower_step import StepLowering, View

# The same shapes give the same kernel object, within a step and between steps.
(attention_kernel, embed_kernel, experts_gated_vector, experts_matrix, experts_sum_vector, group_kernel, kv_append_kernel,
 last_row_kernel, linear_matrix, linear_vector, norm_kernel, route_kernel, weighted_sum_kernel) = map(cache, (
    attention_kernel, embed_kernel, experts_gated_vector, experts_matrix, experts_sum_vector, group_kernel, kv_append_kernel,
    last_row_kernel, linear_matrix, linear_vector, norm_kernel, route_kernel, weighted_sum_kernel))


def weight_buffers(step: StepLowering, weight: str) -> tuple[str, list[str]]:
    """A matrix's format and its buffers: data and, where the format has one, scale."""
    format = step.context.formats[weight]
    return format, [f"{weight}.data", f"{weight}.scale"] if format_named(format).has_scale else [f"{weight}.data"]


def dense(view: View) -> str:
    """The buffer of a view that starts its buffer and leaves no gaps, which most kernels expect."""
    if view.offset or view.stride != view.width and view.rows > 1:
        raise GemletError(f"{view}: this kernel reads whole buffers only")
    return view.buffer


def lower_embed(step: StepLowering, op, variable) -> View:
    vocabulary, width = (int(extent) for extent in op["weight"].ty.shape)
    out = step.new_value(variable, [int(extent) for extent in op.type.shape])
    weight = step.values[op["weight"]]
    is_table = weight in step.context.tables
    format, buffers = weight_buffers(step, weight)
    buffers += [step.context.part(weight, vocabulary)] if is_table else []
    step.launch(embed_kernel(out.rows, vocabulary, width, format, op["scale"], is_table), *buffers, step.values[op["tokens"]], out.buffer)
    return out


def lower_linear(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, [int(extent) for extent in op.type.shape])
    weight = step.values[op["weight"]]
    format, buffers = weight_buffers(step, weight)
    rounding = step.context.roundings.get(weight)
    buffers += [] if rounding is None else [f"{weight}.steps"]
    norm, other = op["norm_weight"], None if op["other"] is None else step.view(op["other"])
    shared = dict(x_offset=x.offset, epilogue=op["epilogue"], cap=op["cap"], rounding=rounding)
    if x.rows == 1:
        kernel = linear_vector(out.width, x.width, format, norm_eps=None if norm is None else op["eps"], **shared)
    else:
        kernel = linear_matrix(x.rows, out.width, x.width, format, x_stride=x.stride, other_stride=other.stride if other else 0, **shared)
    buffers += [x.buffer] + ([] if norm is None else [step.values[norm]])
    buffers += [other.buffer, step.context.place(other.offset)] if other else []
    buffers += [] if x.rows == 1 else ["state"]
    step.launch(kernel, *buffers, out.buffer)
    return out


def lower_norm(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, [int(extent) for extent in op.type.shape])
    residual, scale = op["residual"], op["output_scale"]
    width = out.shape[-1]
    kernel = norm_kernel(out.rows * out.width // width, width, op["eps"], residual is not None, op["input_scale"],
                         op["factor"] if scale is None else "tensor")
    buffers = [dense(x), step.values[op["weight"]]]
    buffers += [] if residual is None else [dense(step.view(residual))]
    buffers += [] if scale is None else [step.values[scale]]
    step.launch(kernel, *buffers, out.buffer)
    return out


def lower_kv_append(step: StepLowering, op, variable):
    plan, k, v = step.values[op["cache"]], step.view(op["k"]), step.view(op["v"])
    if (k.buffer, k.stride) != (v.buffer, v.stride):
        raise GemletError(f"step {step.step}: K ({k}) and V ({v}) must lie in the same rows")
    norm = op["k_norm_weight"]
    kernel = kv_append_kernel(k.rows, plan.kv_heads, plan.head_size, k.stride, k.offset, v.offset, plan.slots, plan.ring,
                              op["eps"], norm is not None, bool(op["v_norm"]))
    table = step.context.rope_table(plan.head_size, op["theta"], op["fraction"])
    step.launch(kernel, k.buffer, *([] if norm is None else [step.values[norm]]), table, "state", *plan.buffer_names)
    return plan


def lower_attend(step: StepLowering, op, variable) -> View:
    plan, q = step.values[op["cache"]], step.view(op["q"])
    out = step.new_value(variable, [int(extent) for extent in op.type.shape])
    norm = op["q_norm_weight"]
    kernel = attention_kernel(q.rows, q.shape[1], plan.kv_heads, plan.head_size, q.stride, q.offset, plan.slots, plan.ring,
                              op["window"] or None, op["scale"], op["eps"], norm is not None, bool(op["blocks"]))
    table = step.context.rope_table(plan.head_size, op["theta"], op["fraction"])
    step.launch(kernel, q.buffer, *([] if norm is None else [step.values[norm]]), table, "state", *plan.buffer_names, out.buffer)
    return out


def lower_last_row(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, [int(extent) for extent in op.type.shape])
    step.launch(last_row_kernel(x.rows, x.width), dense(x), "state", out.buffer)
    return out


def lower_route(step: StepLowering, op, variable) -> View:
    scores, out = step.view(op["scores"]), step.new_value(variable, [int(extent) for extent in op.type.shape])
    kernel = route_kernel(scores.rows, scores.width, op["chosen"])
    step.launch(kernel, dense(scores), step.values[op["per_expert_scale"]], out.buffer)
    return out


def expert_groups(step: StepLowering, routing: View, experts: int) -> list[str]:
    """The lists of a chunk's choices by expert, made once for each routing."""
    names = [f"{routing.buffer}.{part}" for part in ("count", "list")]
    if names[0] not in step.context.sizes:
        step.context.sizes |= {names[0]: 4 * experts, names[1]: 4 * experts * routing.rows}
        step.launch(group_kernel(routing.rows, experts, routing.width // 2), routing.buffer, "state", *names)
    return names


def expert_operands(step: StepLowering, op, variable):
    """What both products by expert have: x, routing, the result, sizes of the weights (experts, rows, columns), how many experts a
    token chooses, the weights' format and buffers."""
    x, routing = step.view(op["x"]), step.view(op["routing"])
    out = step.new_value(variable, [int(extent) for extent in op.type.shape])
    format, buffers = weight_buffers(step, step.values[op["weight"]])
    return x, routing, out, [int(extent) for extent in op["weight"].ty.shape], routing.width // 2, format, buffers


def lower_experts_gated(step: StepLowering, op, variable) -> View:
    x, routing, out, (experts, rows, columns), chosen, format, buffers = expert_operands(step, op, variable)
    if routing.rows == 1:
        step.launch(experts_gated_vector(experts, chosen, rows // 2, columns, format), *buffers, dense(x), routing.buffer, out.buffer)
    else:
        groups = expert_groups(step, routing, experts)
        step.launch(experts_matrix(x.rows, experts, chosen, rows // 2, columns, format, True), *buffers, dense(x), *groups, out.buffer)
    return out


def lower_experts_sum(step: StepLowering, op, variable) -> View:
    x, routing, out, (experts, rows, columns), chosen, format, buffers = expert_operands(step, op, variable)
    if routing.rows == 1:
        step.launch(experts_sum_vector(experts, chosen, rows, columns, format), *buffers, dense(x), routing.buffer, out.buffer)
    else:
        products = f"{out.buffer}.products"
        step.context.sizes[products] = 4 * x.rows * rows
        kernel = experts_matrix(routing.rows, experts, chosen, rows, columns, format, False)
        step.launch(kernel, *buffers, dense(x), *expert_groups(step, routing, experts), products)
        step.launch(weighted_sum_kernel(routing.rows, chosen, rows), products, routing.buffer, out.buffer)
    return out


LOWERINGS = {
    "embed": lower_embed, "linear": lower_linear, "norm": lower_norm, "norm_rope_kv_append": lower_kv_append,
    "norm_rope_attend": lower_attend, "last_row": lower_last_row, "route": lower_route, "experts_gated": lower_experts_gated,
    "experts_sum": lower_experts_sum,
}
