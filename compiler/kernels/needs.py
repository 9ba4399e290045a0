"""What a kernel cannot do, as it says so itself; the lowering adds which tensor it was (compiler/schedule/lower_step.py)."""
from ..errors import GemletError


class KernelLimit(GemletError):
    """A size that a kernel has no code for. It must never be computed wrong instead."""


def multiple_of(dimension: str, size: int, factor: int) -> None:
    """KernelLimit unless `size`, of what `dimension` names, is a multiple of `factor`."""
    if size % factor:
        raise KernelLimit(f"{size} {dimension}; expected a multiple of {factor}")


def at_most(dimension: str, size: int, most: int) -> None:
    """KernelLimit where `size`, of what `dimension` names, is more than `most`."""
    if size > most:
        raise KernelLimit(f"{size} {dimension}; expected at most {most}")
