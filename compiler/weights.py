"""What a Program's weights are made of: for each parameter of a model definition, its tensors and its format."""
import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from model_defs.sizes import Held, held_of

from .checkpoint import Checkpoint
from .checkpoint.mobile import MOBILE, MobileTensor, planned_source_formats
from .checkpoint.tensor import Tensor
from .errors import GemletError
from .kernels.rounding import Rounding, rounding_table
from .quantize import format_named
from .quantize.choose import choose_format
from .quantize.format import TABLE_TILE_ROWS, TILE_ROWS
from .quantize.matrix import EncodedMatrix
from .schedule.program import Buffer


@dataclass(frozen=True)
class Weight:
    """A parameter (model_defs): its shape, the format its values are stored in, and the tensors that make it up, row
    after row (none in a plan without weights). rounding: where products with it round their activations. is_table: whether it is
    only looked up (compiler/schedule/lookup_tables.py). held: what of it is the checkpoint's, where the rest is zeros (model_defs/sizes.py)."""

    name: str
    shape: tuple[int, ...]
    format: str
    tensors: tuple[Tensor, ...]
    rounding: Rounding | None = None
    is_table: bool = False
    held: Held = Held()

    @property
    def count(self) -> int:
        """The checkpoint's values in it."""
        return math.prod(self.held.shape(self.shape))

    @property
    def stored_rows(self) -> list[int]:
        """Rows of a matrix that each of its tensors takes, padding included."""
        held, stored = self.held.rows or (1, 1)
        return [tensor.row_count // held * stored for tensor in self.tensors]

    @property
    def is_matrix(self) -> bool:
        """Whether it is stored in a weight format; experts' matrices count as one, one below the other."""
        return len(self.shape) > 1

    @property
    def tile_rows(self) -> int:
        """Rows of a tile of its layout, where it is a matrix."""
        return TABLE_TILE_ROWS if self.is_table else TILE_ROWS

    def buffers(self) -> list[Buffer]:
        """A matrix has a buffer of data and, where it needs them, of scales and of activation steps; a vector is one buffer."""
        if not self.is_matrix:
            return [Buffer(self.name, "weight", 4 * self.shape[0])]
        data, scale = format_named(self.format).bytes(math.prod(self.shape[:-1]), self.shape[-1], self.tile_rows)
        sizes = {"data": data, "scale": scale, "steps": 4 * self.rounding.words if self.rounding else 0}
        return [Buffer(f"{self.name}.{part}", "weight", size) for part, size in sizes.items() if size]

    def values(self) -> np.ndarray:
        """A vector's values, float32."""
        values = np.concatenate([tensor.values().reshape(-1) for tensor in self.tensors]).astype(np.float32, copy=False)
        if self.held.factor != 1:
            values = values * np.float32(self.held.factor)
        if self.held.rows is None:
            return values
        held, stored = self.held.rows
        return np.pad(values.reshape(-1, held), ((0, 0), (0, stored - held))).reshape(-1)

    def matrix(self) -> EncodedMatrix:
        """A matrix's contents."""
        return EncodedMatrix(list(self.tensors), self.format, self.tile_rows, self.held.rows)

    def steps(self) -> np.ndarray:
        """What the buffer of activation steps holds (compiler/kernels/rounding.py)."""
        first_rows = [0, *accumulate(self.stored_rows[:-1])]
        return rounding_table(first_rows, activation_steps(self.tensors))


def plan_weights(model, parameters, checkpoint: Checkpoint, quant: str, tables: frozenset[str]) -> list[Weight]:
    """A Weight for each parameter, in order; their shapes are checked against the checkpoint.

    `parameters`: (name, nn.Parameter) as `export_tvm` lists them. `tables`: names of those that are only looked up. Raises GemletError for a tensor that is missing or has
    another shape. A checkpoint without tensors (a bare config) counts as what its config promises, else as bf16.
    """
    weights = []
    for name, parameter in parameters:
        shape = tuple(int(extent) for extent in parameter.shape)
        sources = model.sources(name)
        held = held_of(parameter)
        rows = [held.shape((count, 1))[0] for count in part_rows(model, name, shape[0], len(sources))]
        tensors = find_tensors(checkpoint, sources, held.shape(shape), rows) if checkpoint.tensors else ()
        formats = [tensor.source_format for tensor in tensors] or planned_source_formats(sources, checkpoint.config, checkpoint.quantization)
        is_matrix = len(shape) > 1
        format = choose_format(formats, quant) if is_matrix else "f32"
        weights.append(Weight(name, shape, format, tensors, plan_rounding(tensors, formats) if is_matrix else None, name in tables, held))
    return weights


def plan_rounding(tensors: tuple[Tensor, ...], formats: list[str]) -> Rounding | None:
    """How products with a matrix round; without tensors, as in published mobile checkpoints: all of them do, and what is
    merged rounds its input alike."""
    if not tensors:
        return Rounding(len(formats), True) if all(source.startswith(MOBILE) for source in formats) else None
    steps = activation_steps(tensors)
    return Rounding(len(steps), len({step for step, _ in steps}) == 1) if any(map(any, steps)) else None


def activation_steps(tensors: tuple[Tensor, ...]) -> list[tuple[float, float]]:
    """The steps of input and output of the products with each tensor; 0: not rounded."""
    return [tensor.activation_steps() if isinstance(tensor, MobileTensor) else (0.0, 0.0) for tensor in tensors]


def find_tensors(checkpoint: Checkpoint, sources: list[str], shape: tuple[int, ...], rows: list[int]) -> tuple[Tensor, ...]:
    """The tensors named `sources`, of so many rows each, that together make `shape`. Raises GemletError for a missing one or another shape."""
    if len(sources) == 1:
        return (checkpoint.tensor(sources[0], shape),)
    shapes = [(count, *shape[1:]) for count in rows]
    present = [checkpoint.tensors[name] for name in sources if name in checkpoint.tensors]
    if len(present) == len(sources) and [tensor.shape for tensor in present] != shapes:
        found = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in present)
        raise GemletError(f"{checkpoint.path}: expected {' + '.join(sources)} to be {shape} together, found {found}; expected "
                          f"{' + '.join(map(str, shapes))}. Check that the config belongs to these weights.")
    return tuple(checkpoint.tensor(name, expected) for name, expected in zip(sources, shapes))


def part_rows(model, parameter: str, rows: int, parts: int) -> list[int]:
    """How the rows of a merged matrix divide: as its module splits what comes out (`bounds`), else evenly."""
    module = model
    for name in parameter.split(".")[:-2]:
        module = module[int(name)] if name.isdecimal() else getattr(module, name)
    bounds = getattr(module, "bounds", None)
    if bounds is None or parts == 1:
        return [rows // parts] * parts
    return [end - start for start, end in pairwise([0, *bounds, rows])]


STEPS = ".steps"


def pack_values(parts: tuple[str | float, ...], weights: list[Weight]) -> int:
    """Float32 values of a buffer that joins vectors (by name; a matrix's table of activation steps as NAME.steps) and numbers, padded to
    a multiple of four."""
    named = {weight.name: weight for weight in weights}
    counts = [1 if not isinstance(part, str) else named[part.removesuffix(STEPS)].rounding.words if part.endswith(STEPS) else math.prod(named[part].shape)
              for part in parts]
    return -(-sum(counts) // 4) * 4


def pack(parts: tuple[str | float, ...], weights: list[Weight]) -> np.ndarray:
    """The contents of such a buffer, float32."""
    named = {weight.name: weight for weight in weights}
    values = [np.array([part], np.float32) if not isinstance(part, str)
              else named[part.removesuffix(STEPS)].steps() if part.endswith(STEPS) else named[part].values() for part in parts]
    joined = np.concatenate(values)
    return np.pad(joined, (0, -len(joined) % 4))
