"""Sizes as a checkpoint has them, and as steps store them: kernels load four values at a time, so that rows are filled up with zeros.

A parameter says what of it is held: `rows`, how many neighbouring rows (of a vector: values) of the checkpoint come before some rows of zeros,
again and again; `columns`, how many of a row are the checkpoint's; `factor`, what the checkpoint's values are multiplied with.
"""
from dataclasses import dataclass

from tvm.relax.frontend import nn

VECTOR = 4
HELD = "held"


@dataclass(frozen=True)
class Held:
    """rows: (held, stored): of `stored` rows the first `held` are the checkpoint's. columns: None: all."""

    rows: tuple[int, int] | None = None
    columns: int | None = None
    factor: float = 1.0

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The checkpoint's shape of a parameter of the shape `stored`."""
        *rows, columns = stored
        if not rows:
            return (columns if self.rows is None else columns // self.rows[1] * self.rows[0],)
        if self.rows is not None:
            rows[-1] = rows[-1] // self.rows[1] * self.rows[0]
        return (*rows, columns if self.columns is None else self.columns)


def padded(size: int) -> int:
    """The values that a row of `size` takes."""
    return -(-size // VECTOR) * VECTOR


def stored_head(size: int) -> int:
    """The values that a head of `size` takes: RoPE pairs its two halves, and each is filled up for itself."""
    return 2 * padded(size // 2)


def hold(parameter: nn.Parameter, rows: tuple[int, int] | None = None, columns: int | None = None, factor: float = 1.0) -> nn.Parameter:
    """The parameter, with what is held of it."""
    parameter.attrs[HELD] = Held(None if rows is None or rows[0] == rows[1] else rows, columns, factor)
    return parameter


def held_of(parameter: nn.Parameter) -> Held:
    return parameter.attrs.get(HELD, Held())


def linear(columns: int, rows: int, parts: int = 1) -> nn.Linear:
    """A product from `columns` to `parts` times `rows` values, both padded: each part for itself."""
    module = nn.Linear(padded(columns), parts * padded(rows), bias=False)
    hold(module.weight, (rows, padded(rows)), columns)
    return module
