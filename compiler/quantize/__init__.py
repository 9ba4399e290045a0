"""Turns tensors into the weight formats of docs/artifact.md. One file a format, each with its numpy twin `decode`."""

from compiler.quantize import bf16, f16, f32, q4, q8
from compiler.quantize.format import Format

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (f32, f16, bf16, q8, q4)}
