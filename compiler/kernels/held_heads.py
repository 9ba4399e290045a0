"""Rows of heads without the padding that heads have in caches and queries (model_defs/sizes.py), as the product after an attention reads them."""
from dataclasses import dataclass

from model_defs.sizes import padded


@dataclass(frozen=True)
class HeldHeads:
    """heads of `stored` values each, of whose halves the first `held / 2` are no padding."""

    heads: int
    stored: int
    held: int

    @property
    def is_padded(self) -> bool:
        return self.held != self.stored

    @property
    def values(self) -> int:
        """Of a row, without what fills it up."""
        return self.heads * self.held

    @property
    def width(self) -> int:
        """Of a row."""
        return padded(self.values)

    @property
    def name(self) -> str:
        """A part of a kernel's name, with what stands before it."""
        return f"_of{self.held}" if self.is_padded else ""

    def is_held(self, at):
        """Whether value `at` of a stored head, from 0, is no padding."""
        return at % (self.stored // 2) < self.held // 2

    def place(self, at):
        """Where value `at` of a stored head lies in the head without padding."""
        return at // (self.stored // 2) * (self.held // 2) + at % (self.stored // 2)

    def stored_at(self, at):
        """The inverse of `place`."""
        return at // (self.held // 2) * (self.stored // 2) + at % (self.held // 2)
