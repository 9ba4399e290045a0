"""Turns tensors into the weight formats of docs/artifact.md. One file a format, each with its numpy twin `decode`."""

from functools import cache

from compiler.quantize import bf16, f16, f32, m2, m4, m8, q4, q8
from compiler.quantize.format import Format

# Those of mobile checkpoints, which may have a scale for a block of columns in place of one for a row.
MOBILE = {"m8": m8.make, "m4": m4.make, "m2": m2.make}
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (f32, f16, bf16, q8, q4)}
FORMATS |= {name: make(None) for name, make in MOBILE.items()}


@cache
def format_named(name: str) -> Format:
    """The format of that name; `m4_256` is m4 with a scale for each 256 columns of a row."""
    base, _, block = name.partition("_")
    return MOBILE[base](int(block)) if block else FORMATS[name]
