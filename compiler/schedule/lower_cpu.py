"""The CPU kernels of each operator, as they are before the fusions for GPUs: a launch costs a CPU next to nothing."""
from dataclasses import replace
from functools import cache
from itertools import accumulate

from ..cpu_kernels.attention import attention_kernel
from ..cpu_kernels.embed import embed_kernel, last_row_kernel
from ..cpu_kernels.experts import experts_kernel, weighted_sum_kernel
from ..cpu_kernels.kv_append import kv_append_kernel
from ..cpu_kernels.linear import RowsOf, linear_kernel
from ..cpu_kernels.norm import norm_kernel
from ..cpu_kernels.quantize import WORDS, form_for, quantize_kernel
from ..cpu_kernels.rotate_queries import rotate_queries_kernel
from ..cpu_kernels.rounding import round_kernel
from ..cpu_kernels.route import group_kernel, route_kernel
from ..cpu_kernels.weight_quads import QuadLayout
from ..errors import GemletError
from ..kernels.rounding import Rounding
from ..weights import STEPS
from .lower_operators import dense, parts_of, weight_buffers
from .lower_step import StepLowering, View

# The same shapes give the same kernel object, within a step and between steps.
(attention_kernel, embed_kernel, experts_kernel, group_kernel, kv_append_kernel, last_row_kernel, linear_kernel, norm_kernel, quantize_kernel,
 rotate_queries_kernel, round_kernel, route_kernel, weighted_sum_kernel) = map(cache, (
    attention_kernel, embed_kernel, experts_kernel, group_kernel, kv_append_kernel, last_row_kernel, linear_kernel, norm_kernel, quantize_kernel,
    rotate_queries_kernel, round_kernel, route_kernel, weighted_sum_kernel))


class CpuOperators:
    """The lowerings by operator. simd: RELAXED or SIMD128 for products in whole numbers; None for products in float32. parts: the numbers of rows of the
    matrices that a weight consists of, where these round their input apart."""

    def __init__(self, simd: str | None, parts: dict[str, list[int]]):
        self.simd, self.parts = simd, parts
        self.lowerings = {
            "embed": self.embed, "linear": self.linear, "norm": self.norm, "norm_rope_kv_append": self.kv_append, "norm_rope_attend": self.attend,
            "last_row": self.last_row, "route": self.route, "experts_gated": self.experts_gated, "experts_sum": self.experts_sum}

    def embed(self, step: StepLowering, op, variable) -> View:
        vocabulary, width = (int(extent) for extent in op["weight"].ty.shape)
        out, weight = step.new_value(variable, op.type), step.values[op["weight"]]
        format, buffers = weight_buffers(step, weight)
        kernel = embed_kernel(out.rows, vocabulary, width, format, op["scale"], weight in step.context.tables, self.simd, parts_of(width, out))
        step.launch(kernel, *buffers, step.values[op["tokens"]], out.buffer)
        return out

    def activations(self, step: StepLowering, x: View, layout: QuadLayout, rows_per_token: int = 1, rounding: Rounding | None = None,
                    steps: str = "") -> list[str]:
        """The buffers that a product reads of x: x itself, or, in whole numbers or in steps of its own, what is made of it on its first use in a form."""
        numbers = [steps] if rounding else []
        if self.simd is None or not layout.bits:
            if not rounding:
                return [x.buffer]
            name = f"{x.buffer}.{x.offset}.{steps}.{rounding.name}"
            if name not in step.context.sizes:
                step.context.sizes[name] = 4 * x.rows * x.width
                step.launch(round_kernel(x.rows, x.width, x.stride, x.offset, rounding), x.buffer, steps, name)
            return [name]
        form = form_for(self.simd, layout.format)
        whose = f"{steps}.{rounding.name}" if rounding else ""
        names = [f"{x.buffer}.{x.offset}.{whose}.{form}.g{layout.group}.z{layout.zero}.{part}" for part in ("q", "scales", "sums")][: 3 if layout.zero else 2]
        if names[0] not in step.context.sizes:
            groups = x.rows * layout.groups
            kernel = quantize_kernel(x.rows, x.width, layout.group, form, layout.zero, x.stride, x.offset, rows_per_token, rounding)
            step.context.sizes |= dict(zip(names, (4 * groups * layout.vectors * WORDS, 4 * groups, 4 * groups)))
            step.launch(kernel, x.buffer, *numbers, *names)
        return names

    def linear(self, step: StepLowering, op, variable) -> View:
        x, out, weight = step.view(op["x"]), step.new_value(variable, op.type), step.values[op["weight"]]
        format, buffers = weight_buffers(step, weight)
        other = None if op["other"] is None else step.view(op["other"])
        layout = QuadLayout(int(op["weight"].ty.shape[0]), x.width, format, self.simd)
        simd = self.simd if layout.bits else None
        rounding = step.context.roundings.get(weight)
        steps = f"{weight}{STEPS}" if rounding else ""
        place = (None, 0) if simd or rounding else (x.stride, x.offset)

        def launch(rows: int, epilogue: str, other: View | None, to: str, rounding: Rounding | None, rows_of: RowsOf | None) -> None:
            kernel = linear_kernel(x.rows, rows, x.width, format, simd, *place, epilogue, op["cap"], other.stride if other else 0,
                                   other.offset if other else 0, rounding, rows_of)
            inputs = self.activations(step, x, layout, rounding=rounding, steps=steps)
            step.launch(kernel, *buffers, *inputs, *([steps] if rounding else []), *([other.buffer] if other else []), "state", to)

        if weight not in self.parts:
            launch(out.width, op["epilogue"], other, out.buffer, rounding, None)
            return out
        # Each part reads activations of its own, so that it is a product of its own.
        parts = [(replace(rounding, only=part), rows, first) for part, (rows, first) in enumerate(zip(self.parts[weight], accumulate(self.parts[weight], initial=0)))]
        if op["epilogue"] == "gated":
            (gate, width, _), (up, _, first) = parts
            factor = View(f"{out.buffer}.up", (x.rows, width), width)
            step.context.sizes[factor.buffer] = 4 * x.rows * width
            launch(width, "none", None, factor.buffer, up, RowsOf(first, layout.rows, 0, width))
            launch(width, "gated_by", factor, out.buffer, gate, RowsOf(0, layout.rows, 0, width))
            return out
        for part, rows, first in parts:
            launch(rows, op["epilogue"], other and replace(other, offset=other.offset + first), out.buffer, part, RowsOf(first, layout.rows, first, layout.rows))
        return out

    def norm(self, step: StepLowering, op, variable) -> View:
        x, out = step.view(op["x"]), step.new_value(variable, op.type)
        residual, scale = op["residual"], op["output_scale"]
        width = out.shape[-1]
        rows_per_token = out.width // width
        kernel = norm_kernel(out.rows * rows_per_token, rows_per_token, width, op["eps"], residual is not None, op["input_scale"],
                             op["factor"] if scale is None else "tensor")
        buffers = [dense(x), step.values[op["weight"]]]
        buffers += [] if residual is None else [dense(step.view(residual))]
        buffers += [] if scale is None else [step.values[scale]]
        step.launch(kernel, *buffers, out.buffer)
        return out

    def kv_append(self, step: StepLowering, op, variable):
        plan, k, v = step.values[op["cache"]], step.view(op["k"]), step.view(op["v"])
        if (k.buffer, k.stride) != (v.buffer, v.stride):
            raise GemletError(f"step {step.step}: K ({k}) and V ({v}) must lie in the same rows")
        norm = op["k_norm_weight"]
        kernel = kv_append_kernel(k.rows, plan.kv_heads, plan.stored_head, k.stride, k.offset, v.offset, plan.slots, plan.ring, op["eps"],
                                  norm is not None, op["v_norm"])
        table = step.context.rope_table(plan.head_size, op["rotation"])
        step.launch(kernel, k.buffer, *([] if norm is None else [step.values[norm]]), table, "state", *plan.buffer_names)
        return plan

    def attend(self, step: StepLowering, op, variable) -> View:
        plan, q, out = step.values[op["cache"]], step.view(op["q"]), step.new_value(variable, op.type)
        norm, heads = op["q_norm_weight"], q.shape[1]
        table = step.context.rope_table(plan.head_size, op["rotation"])
        queries = f"{out.buffer}.queries"
        step.context.sizes[queries] = 4 * q.rows * q.width
        rotate = rotate_queries_kernel(q.rows, heads, plan.stored_head, q.stride, q.offset, op["scale"], op["eps"], norm is not None)
        step.launch(rotate, q.buffer, *([] if norm is None else [step.values[norm]]), table, "state", queries)
        kernel = attention_kernel(q.rows, heads, plan.kv_heads, plan.stored_head, plan.slots, plan.ring, op["window"] or None, bool(op["blocks"]) and q.rows > 1,
                                  plan.head_size)
        step.launch(kernel, queries, "state", *plan.buffer_names, out.buffer)
        return out

    def last_row(self, step: StepLowering, op, variable) -> View:
        x, out = step.view(op["x"]), step.new_value(variable, op.type)
        step.launch(last_row_kernel(x.rows, x.width), dense(x), "state", out.buffer)
        return out

    def route(self, step: StepLowering, op, variable) -> View:
        scores, out = step.view(op["scores"]), step.new_value(variable, op.type)
        step.launch(route_kernel(scores.rows, scores.width, op["chosen"]), dense(scores), step.values[op["per_expert_scale"]], out.buffer)
        return out

    def expert_groups(self, step: StepLowering, routing: View, experts: int) -> list[str]:
        """The lists of the choices by expert, made once for each routing."""
        names = [f"{routing.buffer}.{part}" for part in ("count", "list")]
        if names[0] not in step.context.sizes:
            step.context.sizes |= {names[0]: 4 * experts, names[1]: 4 * experts * routing.rows}
            step.launch(group_kernel(routing.rows, experts, routing.width // 2), routing.buffer, "state", *names)
        return names

    def experts(self, step: StepLowering, op, gated: bool, out: str) -> View:
        """The product of each choice with its expert's matrix; x has a row for each token, or, not gated, for each choice."""
        x, routing, weight = step.view(op["x"]), step.view(op["routing"]), step.values[op["weight"]]
        format, buffers = weight_buffers(step, weight)
        experts, rows, columns = (int(extent) for extent in op["weight"].ty.shape)
        chosen = routing.width // 2
        layout = QuadLayout(experts * rows, columns, format, self.simd)
        kernel = experts_kernel(routing.rows, experts, chosen, rows // 2 if gated else rows, columns, format, gated, self.simd if layout.bits else None)
        dense(x)
        inputs = self.activations(step, x, layout, 1 if gated else chosen)
        step.launch(kernel, *buffers, *inputs, *self.expert_groups(step, routing, experts), out)
        return routing

    def experts_gated(self, step: StepLowering, op, variable) -> View:
        out = step.new_value(variable, op.type)
        self.experts(step, op, True, out.buffer)
        return out

    def experts_sum(self, step: StepLowering, op, variable) -> View:
        out = step.new_value(variable, op.type)
        products, rows = f"{out.buffer}.products", step.view(op["x"]).rows
        step.context.sizes[products] = 4 * rows * out.width
        routing = self.experts(step, op, False, products)
        step.launch(weighted_sum_kernel(routing.rows, routing.width // 2, out.width), products, routing.buffer, out.buffer)
        return out
