"""What a Program's weights are made of: for each parameter of a model definition, its tensors and its format."""
import math
from dataclasses import dataclass

from .checkpoint import Checkpoint
from .checkpoint.tensor import Tensor
from .errors import GemletError
from .quantize import FORMATS
from .quantize.choose import choose_format
from .schedule.program import Buffer


@dataclass(frozen=True)
class Weight:
    """A parameter (model_defs): its shape, the format its values are stored in, and the tensors that make it up, row
    after row (none in a plan without weights)."""

    name: str
    shape: tuple[int, ...]
    format: str
    tensors: tuple[Tensor, ...]

    @property
    def count(self) -> int:
        """Values in it."""
        return math.prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """Whether it is stored in a weight format; experts' matrices count as one, one below the other."""
        return len(self.shape) > 1

    def buffers(self) -> list[Buffer]:
        """A matrix has a data buffer and, where its format has scales, a scale buffer; a vector is one buffer."""
        if not self.is_matrix:
            return [Buffer(self.name, "weight", 4 * self.shape[0])]
        data, scale = FORMATS[self.format].bytes(math.prod(self.shape[:-1]), self.shape[-1])
        return [Buffer(f"{self.name}.data", "weight", data)] + ([Buffer(f"{self.name}.scale", "weight", scale)] if scale else [])


def plan_weights(model, parameters, checkpoint: Checkpoint, quant: str) -> list[Weight]:
    """A Weight for each parameter, in order; their shapes are checked against the checkpoint.

    `parameters`: (name, nn.Parameter) as `export_tvm` lists them. Raises GemletError for a tensor that is missing or has
    another shape. A checkpoint without tensors (a bare config) counts as bf16, what Gemma is published in.
    """
    weights = []
    for name, parameter in parameters:
        shape = tuple(int(extent) for extent in parameter.shape)
        sources = model.sources(name)
        tensors = find_tensors(checkpoint, sources, shape) if checkpoint.tensors else ()
        formats = [tensor.source_format for tensor in tensors] or ["BF16"]
        format = choose_format(formats, quant) if len(shape) > 1 else "f32"
        weights.append(Weight(name, shape, format, tensors))
    return weights


def find_tensors(checkpoint: Checkpoint, sources: list[str], shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The tensors named `sources`, whose rows together make `shape`."""
    if len(sources) == 1:
        return (checkpoint.tensor(sources[0], shape),)
    present = [checkpoint.tensors.get(name) for name in sources]
    # Where all parts are there, their own shapes say how the rows divide; the total and the width must be right.
    tensors = tuple(checkpoint.tensor(name, tensor.shape if tensor else ("rows", shape[1])) for name, tensor in zip(sources, present))
    rows = sum(tensor.shape[0] for tensor in tensors)
    widths = {tensor.shape[1:] for tensor in tensors}
    if rows != shape[0] or widths != {shape[1:]}:
        found = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in tensors)
        raise GemletError(f"{checkpoint.path}: expected {' + '.join(sources)} to be {shape} together, found {found}. "
                          "Check that the config belongs to these weights.")
    return tensors
