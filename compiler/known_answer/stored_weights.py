"""The values that an artifact stores, under the checkpoint's own names, decoded a block of rows at a time."""

from collections.abc import Iterator

import numpy as np

from compiler.checkpoint.mobile import MobileTensor
from compiler.checkpoint.tensor import Tensor
from compiler.quantize import format_named
from compiler.quantize.matrix import encode_rows
from compiler.weights import Weight

BLOCK_VALUES = 1 << 20  # 8 MiB as float64, beside 4 as float32


class StoredWeights:
    """Tensors by the checkpoint's names, so that how the compiler merges matrices is not taken on trust."""

    def __init__(self, weights: list[Weight]) -> None:
        """weights: those of the plan, whose formats say how each tensor is stored."""
        self._stored = {tensor.name: (tensor, weight.format) for weight in weights for tensor in weight.tensors}

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensor(name).shape

    def vector(self, name: str) -> np.ndarray:
        """A vector's values, float64 [K]."""
        return self._tensor(name).values().reshape(-1).astype(np.float64)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of a matrix as kernels see them, float32 [rows, K]. All axes but the last count as rows."""
        tensor, format_name = self._stored[name]
        weight_format = format_named(format_name)
        decoded = weight_format.decode(*encode_rows(tensor, start, stop, weight_format))
        return decoded[:, : tensor.shape[-1]]

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rows [start, stop) in blocks of some MiB, in order; stop None: to the end."""
        tensor = self._tensor(name)
        end = tensor.row_count if stop is None else stop
        block = max(1, BLOCK_VALUES // tensor.shape[-1])
        for first in range(start, end, block):
            yield self.rows(name, first, min(first + block, end))

    def steps(self, name: str) -> tuple[float, float]:
        """What products with a matrix round their input and their output to; 0: not."""
        tensor = self._tensor(name)
        return tensor.activation_steps() if isinstance(tensor, MobileTensor) else (0.0, 0.0)

    def _tensor(self, name: str) -> Tensor:
        return self._stored[name][0]
