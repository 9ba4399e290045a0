"""One Relax function, after the passes, as a list of launches: a kernel for each operator, views for the rest."""
from dataclasses import dataclass, field, replace

import numpy as np
from tvm import relax

from model_defs.rope import Rope

from ..errors import GemletError
from ..kernels.needs import KernelLimit
from ..kernels.rounding import Rounding
from ..kernels.rope import padded_frequencies, rope_table
from ..passes.operators import parse
from ..passes.rewrite import is_op
from ..weights import STEPS
from .kv_plan import CachePlan
from .program import Launch


@dataclass(frozen=True)
class View:
    """Where a tensor lies: rows of `width` values, `stride` values apart, from `offset` on, in float32 values.

    shape: the tensor's own, rows first; the axes after the first lie one after the other in a row.
    """

    buffer: str
    shape: tuple[int, ...]
    stride: int
    offset: int = 0

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        width = 1
        for extent in self.shape[1:]:
            width *= extent
        return width


@dataclass
class Context:
    """What lowering needs to know, and what it leaves beside the launches.

    formats: storage format by weight name; roundings: of those whose products round; tables: those that are only looked up.
    caches: plans in the order of the function's `caches`. sizes: bytes of each intermediate value (out). constants: RoPE tables,
    parts and places by buffer name (out). packs: what the buffers that join small vectors hold, by buffer name (out). head_sizes: of the attention
    whose parts a buffer holds, without padding (out).
    """

    formats: dict[str, str]
    roundings: dict[str, Rounding]
    tables: frozenset[str]
    caches: list[CachePlan]
    context: int
    sizes: dict[str, int]
    constants: dict
    packs: dict[str, tuple[str | float, ...]]
    head_sizes: dict[str, int] = field(default_factory=dict)

    def vectors(self, owner: str, parts: list[str | float]) -> list[str]:
        """Name of the buffer that holds these vectors (weights of the model, tables of activation steps) and numbers, one after the
        other, padded to a multiple of four; none where there is nothing to hold. owner: what the name begins with."""
        if not parts:
            return []
        if len(parts) == 1 and isinstance(parts[0], str) and not parts[0].endswith(STEPS):
            return parts  # its own buffer, of a multiple of four already
        name, count = f"{owner}.vectors", 1
        while self.packs.setdefault(name, tuple(parts)) != tuple(parts):
            count += 1
            name = f"{owner}.vectors.{count}"
        return [name]

    def rope_table(self, head_size: int, rotation: str) -> str:
        """Name of the table's buffer; made on first use."""
        rope = Rope.from_text(rotation)
        name = f"rope.d{head_size}.{rope.name}"
        if name not in self.constants:
            self.constants[name] = rope_table(padded_frequencies(rope, head_size), self.context, rope.scale)
        return name

    def part(self, table: str, rows: int) -> str:
        """Name of the buffer that says which rows of a table there are: all (PART in compiler/kernels/embed.py)."""
        name = f"{table}.part"
        self.constants[name] = np.array([0, rows, rows], np.int32)
        return name

    def place(self, offset: int) -> str:
        """Name of a buffer that holds one number: where, in values, a kernel's operand starts in its buffer."""
        name = f"place.{offset}"
        self.constants[name] = np.array([offset], np.int32)
        return name


class StepLowering:
    """Walks one function's bindings. `inputs`: what each of its inputs is; `results`: names for its results; `lowerings`: by operator,
    what launches its kernels and returns where its result is."""

    def __init__(self, step: str, function: relax.Function, weights: list[str], inputs: dict, results: list[str], context: Context, lowerings: dict):
        self.step, self.context, self.lowerings = step, context, lowerings
        self.launches: list[Launch] = []
        self.values: dict = {}
        count = int(function.attrs["num_input"])
        for variable in function.params[:count]:
            self.values[variable] = inputs[variable.name]
        for variable, name in zip(function.params[count:], weights):
            self.values[variable] = name
        bindings = [binding for block in function.body.blocks for binding in block.bindings]
        self.definitions = {binding.var: binding.value for binding in bindings}
        self.result_names = dict(zip(self.result_variables(function.body.body), results))
        for binding in bindings:
            self.values[binding.var] = self.lower(binding.var, binding.value)

    def result_variables(self, expression) -> list:
        """What a function's result is made of, through aliases and tuples: variables, each with the number of its result."""
        if isinstance(expression, relax.Tuple):
            return [variable for part in expression.fields for variable in self.result_variables(part)]
        value = self.definitions.get(expression)
        if isinstance(value, relax.TupleGetItem) and isinstance(self.definitions.get(value.tuple_value), relax.Call):
            return [(value.tuple_value, value.index)]
        return self.result_variables(value) if isinstance(value, (relax.Var, relax.Tuple)) else [(expression, 0)]

    def lower(self, variable, value):
        if isinstance(value, relax.Var):
            return self.values[value]
        if isinstance(value, relax.Tuple):
            return tuple(self.values[part] for part in value.fields)
        if isinstance(value, relax.TupleGetItem):
            return self.values[value.tuple_value][value.index]
        if is_op(value, "reshape"):
            return reshaped(self.values[value.args[0]], [int(extent) for extent in value.ty.shape])
        if is_op(value, "split"):
            return split(self.values[value.args[0]], value)
        operator = parse(value)
        if operator is None or operator.name not in self.lowerings:
            raise GemletError(f"step {self.step}: no kernel for {value if operator is None else operator.name} (bound to "
                              f"{variable.name}); a pass must fuse it into an operator of compiler/passes/operators.py that has one")
        try:
            return self.lowerings[operator.name](self, operator, variable)
        except KernelLimit as limit:
            weights = [name for key in operator.tensors if isinstance(name := self.values.get(operator[key]), str) and name in self.context.formats]
            raise GemletError(f"{', '.join(weights) or operator.name}: {limit} (step {self.step})") from None

    def launch(self, kernel, *buffers: str) -> None:
        self.launches.append(Launch(kernel, tuple(buffers)))

    def new_value(self, variable, type: relax.TensorType, index: int = 0) -> View:
        """The buffer of a kernel's result (number `index` of several): a named one for a result of the step, else an
        intermediate value."""
        name = self.result_names.get((variable, index))
        shape = tuple(int(extent) for extent in type.shape)
        view = View("", shape, 0)
        if name is None:
            name = f"{self.step}.{len(self.launches)}.{variable.name}.{index}"
            self.context.sizes[name] = 4 * view.rows * view.width
        return View(name, shape, view.width)

    def view(self, expression) -> View:
        return self.values[expression]


def reshaped(view: View, shape: list[int]) -> View:
    """A view of another shape: heads may be split off or merged; rows only where they lie close together."""
    if shape[0] != view.rows and (view.stride != view.width or view.offset):
        raise GemletError(f"reshape of {view} to {shape} would need a copy")
    return replace(view, shape=tuple(shape))


def split(view: View, call) -> tuple[View, ...]:
    """Views of the parts of a split along the last axis of a matrix."""
    bounds = [0]
    for part in call.ty.fields:
        bounds.append(bounds[-1] + int(part.shape[-1]))
    if len(view.shape) != 2 or bounds[-1] != view.shape[1]:
        raise GemletError(f"split of {view} at {bounds}: only matrices are split, along their last axis")
    return tuple(replace(view, shape=(view.rows, end - start), offset=view.offset + start) for start, end in zip(bounds, bounds[1:]))
