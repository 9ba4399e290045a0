"""The kernel, or kernels, of each operator."""
from dataclasses import replace
from functools import cache

from ..errors import GemletError
from ..kernels.attention_matrix import attention_matrix
from ..kernels.attention_vector import OwnKeyValue, attention_vector
from ..kernels.embed import embed_kernel, last_row_kernel
from ..kernels.experts_matrix import experts_matrix, weighted_sum_kernel
from ..kernels.experts_vector import experts_gated_vector, experts_sum_vector
from ..kernels.kernel import Kernel
from ..kernels.kv_append import kv_append_kernel
from ..kernels.linear_matrix import linear_matrix
from ..kernels.linear_vector import linear_vector
from ..kernels.norm import norm_kernel
from ..kernels.rotate_queries import rotate_queries_kernel
from ..kernels.route import group_kernel, route_kernel
from ..kernels.vector_input import VectorInput
from ..quantize import format_named
from .kv_plan import CachePlan
from .lower_step import StepLowering, View

# The same shapes give the same kernel object, within a step and between steps.
(attention_matrix, attention_vector, embed_kernel, experts_gated_vector, experts_matrix, experts_sum_vector, group_kernel, kv_append_kernel,
 last_row_kernel, linear_matrix, linear_vector, norm_kernel, rotate_queries_kernel, route_kernel, weighted_sum_kernel) = map(cache, (
    attention_matrix, attention_vector, embed_kernel, experts_gated_vector, experts_matrix, experts_sum_vector, group_kernel, kv_append_kernel,
    last_row_kernel, linear_matrix, linear_vector, norm_kernel, rotate_queries_kernel, route_kernel, weighted_sum_kernel))


def weight_buffers(step: StepLowering, weight: str) -> tuple[str, list[str]]:
    """A matrix's format and its buffers: data and, where the format has one, scale."""
    format = step.context.formats[weight]
    return format, [f"{weight}.data", f"{weight}.scale"] if format_named(format).has_scale else [f"{weight}.data"]


def dense(view: View) -> str:
    """The buffer of a view that starts its buffer and leaves no gaps, which most kernels expect."""
    if view.offset or view.stride != view.width and view.rows > 1:
        raise GemletError(f"{view}: this kernel reads whole buffers only")
    return view.buffer


# Multiply-accumulates of a launch from which on its kernel's variants are worth their shaders.
WORTH_VARIANTS = 1 << 24


def with_variants(kernel: Kernel) -> Kernel:
    """The kernel of a chunk's product by expert, without its variants where it is over so soon that none would show."""
    return kernel if kernel.multiply_accumulates >= WORTH_VARIANTS else replace(kernel, variants=())


def parts_of(width: int, out: View) -> tuple[int, int] | None:
    """(held, stored) where each of a row's parts is padded for itself: the values of a part, with and without."""
    if len(out.shape) < 3 or width == out.width:
        return None
    return width // out.shape[1], out.shape[2]


def lower_embed(step: StepLowering, op, variable) -> View:
    vocabulary, width = (int(extent) for extent in op["weight"].ty.shape)
    out = step.new_value(variable, op.type)
    weight = step.values[op["weight"]]
    is_table = weight in step.context.tables
    format, buffers = weight_buffers(step, weight)
    buffers += [step.context.part(weight, vocabulary)] if is_table else []
    step.launch(embed_kernel(out.rows, vocabulary, width, format, op["scale"], is_table, parts_of(width, out)), *buffers, step.values[op["tokens"]], out.buffer)
    return out


def lower_linear(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, op.type)
    weight = step.values[op["weight"]]
    format, buffers = weight_buffers(step, weight)
    rounding = step.context.roundings.get(weight)
    other = None if op["other"] is None else step.view(op["other"])
    alone = x.rows * int(op["weight"].ty.shape[0]) * x.width < WORTH_VARIANTS
    kernel = linear_matrix(x.rows, out.width, x.width, format, x_stride=x.stride, x_offset=x.offset, epilogue=op["epilogue"], cap=op["cap"],
                           other_stride=other.stride if other else 0, rounding=rounding, alone=alone)
    buffers += [] if rounding is None else [f"{weight}.steps"]
    buffers += [x.buffer] + ([other.buffer, step.context.place(other.offset)] if other else [])
    step.launch(kernel, *buffers, "state", out.buffer)
    return out


def lower_vector_linear(step: StepLowering, op, variable):
    """One result or two, as the operator has; of two only the first where that is the logits, after which nothing reads the other."""
    types = list(op.type.fields) if op["residual"] is not None else [op.type]
    outs = [step.new_value(variable, types[0])]
    is_head = outs[0].buffer == "logits"
    outs += [] if is_head else [step.new_value(variable, type, 1) for type in types[1:]]
    x, weight, eps = step.view(op["x"]), step.values[op["weight"]], op["eps"]
    other = None if op["other"] is None else step.view(op["other"])
    rounding = step.context.roundings.get(weight)
    format, buffers = weight_buffers(step, weight)
    optional = {key: eps for key, tensor in (("branches", "branch"), ("residual", "residual"), ("norm", "norm_weight")) if op[tensor] is not None}
    source = VectorInput(x.offset, scale=op["factor"] if op["output_scale"] is None else "tensor", norm_factor=op["norm_factor"], heads=op["heads"],
                         splits=x.rows if op["heads"] else 0, head_size=step.context.head_sizes.get(x.buffer, 0),
                         stored_head=x.width // op["heads"] if op["heads"] else 0, **optional)
    kernel = linear_vector(outs[0].width, int(op["weight"].ty.shape[1]), format, source, op["epilogue"], op["cap"], rounding, peaks=is_head)
    gains = [step.values[op[key]] for key in ("first_norm_weight", "branch_norm_weight", "residual_norm_weight", "norm_weight") if op[key] is not None]
    numbers = [] if op["output_scale"] is None else [step.values[op["output_scale"]]]
    numbers += [] if other is None else [float(other.offset)]
    numbers += [] if rounding is None else [f"{weight}.steps"]
    buffers += [x.buffer] + ([f"{x.buffer}.stats"] if op["heads"] else [])
    buffers += [dense(step.view(op[key])) for key in ("branch", "residual") if op[key] is not None]
    buffers += step.context.vectors(weight, gains + numbers) + ([] if other is None else [other.buffer])
    step.launch(kernel, *buffers, *(out.buffer for out in outs), *(["peaks"] if is_head else []))
    return tuple(outs) if len(types) > 1 else outs[0]


def lower_norm(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, op.type)
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
    kernel = kv_append_kernel(k.rows, plan.kv_heads, plan.stored_head, k.stride, k.offset, v.offset, plan.slots, plan.ring,
                              op["eps"], norm is not None, op["v_norm"])
    table = step.context.rope_table(plan.head_size, op["rotation"])
    step.launch(kernel, k.buffer, *([] if norm is None else [step.values[norm]]), table, "state", *plan.buffer_names)
    return plan


def lower_attend(step: StepLowering, op, variable) -> View:
    plan, q = step.values[op["cache"]], step.view(op["q"])
    out = step.new_value(variable, op.type)
    norm, heads, window, blocks = op["q_norm_weight"], q.shape[1], op["window"] or None, bool(op["blocks"])
    table = step.context.rope_table(plan.head_size, op["rotation"])
    queries = f"{out.buffer}.queries"
    step.context.sizes[queries] = 4 * q.rows * q.width
    rotate = rotate_queries_kernel(q.rows, heads, plan.stored_head, q.stride, q.offset, op["scale"], op["eps"], norm is not None)
    step.launch(rotate, q.buffer, *([] if norm is None else [step.values[norm]]), table, "state", queries)
    kernel = attention_matrix(q.rows, heads, plan.kv_heads, plan.stored_head, plan.slots, plan.ring, window, blocks, plan.head_size)
    step.launch(kernel, queries, "state", *plan.buffer_names, out.buffer)
    return out


def lower_attend_parts(step: StepLowering, op, variable) -> tuple[View, CachePlan]:
    plan, q = step.values[op["cache"]], step.view(op["q"])
    parts = step.new_value(variable, op.type.fields[0])
    # Parts keep the heads' padding, which the product that adds them up leaves out.
    parts = replace(parts, shape=(parts.rows, *q.shape[1:]), stride=q.width)
    step.context.sizes[parts.buffer] = 4 * parts.rows * parts.width
    step.context.head_sizes[parts.buffer] = plan.head_size
    step.context.sizes[f"{parts.buffer}.stats"] = 4 * 2 * parts.rows * q.shape[1]
    own, width = None, q.offset + q.width
    if op["k"] is not None:
        k, v = step.view(op["k"]), step.view(op["v"])
        if {k.buffer, v.buffer} != {q.buffer}:
            raise GemletError(f"step {step.step}: Q ({q}), K ({k}) and V ({v}) must lie in the same rows")
        own = OwnKeyValue(k.offset, v.offset, op["k_norm_weight"] is not None, op["v_norm"])
        width = v.offset + v.width
    gains = [step.values[op[key]] for key in ("q_norm_weight", "k_norm_weight") if op[key] is not None]
    kernel = attention_vector(q.shape[1], plan.kv_heads, plan.stored_head, width, q.offset, plan.slots, plan.ring, op["window"] or None, op["scale"],
                              op["eps"], op["q_norm_weight"] is not None, own)
    table = step.context.rope_table(plan.head_size, op["rotation"])
    step.launch(kernel, q.buffer, *step.context.vectors(gains[0] if gains else "", gains), table, "state", *plan.buffer_names, parts.buffer,
                f"{parts.buffer}.stats")
    return parts, plan


def lower_last_row(step: StepLowering, op, variable) -> View:
    x, out = step.view(op["x"]), step.new_value(variable, op.type)
    step.launch(last_row_kernel(x.rows, x.width), dense(x), "state", out.buffer)
    return out


def lower_route(step: StepLowering, op, variable) -> View:
    scores, out = step.view(op["scores"]), step.new_value(variable, op.type)
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
    out = step.new_value(variable, op.type)
    format, buffers = weight_buffers(step, step.values[op["weight"]])
    return x, routing, out, [int(extent) for extent in op["weight"].ty.shape], routing.width // 2, format, buffers


def lower_experts_gated(step: StepLowering, op, variable) -> View:
    x, routing, out, (experts, rows, columns), chosen, format, buffers = expert_operands(step, op, variable)
    groups = expert_groups(step, routing, experts)
    step.launch(with_variants(experts_matrix(x.rows, experts, chosen, rows // 2, columns, format, True)), *buffers, dense(x), *groups, out.buffer)
    return out


def lower_routed_experts_gated(step: StepLowering, op, variable) -> tuple[View, View]:
    out, routing = (step.new_value(variable, type, index) for index, type in enumerate(op.type.fields))
    experts, rows, columns = (int(extent) for extent in op["weight"].ty.shape)
    weight = step.values[op["weight"]]
    format, buffers = weight_buffers(step, weight)
    kernel = experts_gated_vector(experts, op["chosen"], rows // 2, columns, format, op["eps"])
    vectors = step.context.vectors(weight, [step.values[op["norm_weight"]], step.values[op["per_expert_scale"]]])
    step.launch(kernel, *buffers, dense(step.view(op["x"])), *vectors, dense(step.view(op["scores"])), out.buffer, routing.buffer)
    return out, routing


def lower_experts_sum(step: StepLowering, op, variable) -> View:
    x, routing, out, (experts, rows, columns), chosen, format, buffers = expert_operands(step, op, variable)
    if routing.rows == 1:
        step.launch(experts_sum_vector(experts, chosen, rows, columns, format), *buffers, dense(x), routing.buffer, out.buffer)
    else:
        products = f"{out.buffer}.products"
        step.context.sizes[products] = 4 * x.rows * rows
        kernel = experts_matrix(routing.rows, experts, chosen, rows, columns, format, False)
        step.launch(with_variants(kernel), *buffers, dense(x), *expert_groups(step, routing, experts), products)
        step.launch(weighted_sum_kernel(routing.rows, chosen, rows), products, routing.buffer, out.buffer)
    return out


LOWERINGS = {
    "embed": lower_embed, "linear": lower_linear, "vector_linear": lower_vector_linear, "attend_parts": lower_attend_parts,
    "routed_experts_gated": lower_routed_experts_gated, "norm": lower_norm, "norm_rope_kv_append": lower_kv_append,
    "norm_rope_attend": lower_attend, "last_row": lower_last_row, "route": lower_route, "experts_gated": lower_experts_gated,
    "experts_sum": lower_experts_sum,
}
