"""Reads the header of a safetensors file: where each tensor lies.

Own code, because the library hands out whole arrays and has no bfloat16 in numpy; here only the header is parsed.
Format: https://github.com/huggingface/safetensors#format
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from compiler.checkpoint.tensor import Tensor, block_sizes
from compiler.errors import GemletError

FORMATS = ("F32", "F16", "BF16")
LARGEST_HEADER = 100_000_000  # the reference library's own limit


@dataclass(frozen=True)
class Entry:
    """One tensor of the header; `offset` counts from the file's first byte."""

    file: Path
    source_name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    def tensor(self, name: str, add: float) -> Tensor:
        """The tensor under its canonical name. Raises GemletError where its type is not one of FORMATS."""
        if self.dtype not in FORMATS:
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: type {self.dtype} is not supported; expected one of "
                f"{', '.join(FORMATS)}. Take the unquantized checkpoint of this model."
            )
        expected = prod(self.shape) * block_sizes(self.dtype)[1]
        if self.size != expected or expected == 0:
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: shape {self.shape} in {self.dtype} takes {expected} bytes, "
                f"the header gives it {self.size}. The file is damaged; download it again."
            )
        return Tensor(name, self.shape or (1,), self.dtype, self.file, self.source_name, self.offset, add)


def read_safetensors_header(path: Path) -> dict[str, Entry]:
    """All tensors by the file's own names. Raises GemletError where it is no whole safetensors file."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LARGEST_HEADER:
            raise GemletError(f"{path}: not a safetensors file: its first 8 bytes are no header length ({start!r}).")
        if 8 + length > size:
            raise GemletError(
                f"{path}: the header takes {length} bytes, but the file has {size}. "
                "The file is truncated; download it again."
            )
        text = stream.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        entries = {name: _entry(path, name, value, 8 + length) for name, value in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GemletError(
            f"{path}: not a safetensors file: its header cannot be read: {type(error).__name__}: {error}"
        ) from None
    for entry in entries.values():
        if entry.offset + entry.size > size or entry.size < 0 or entry.offset < 8 + length:
            raise GemletError(
                f"{path}: tensor {entry.source_name}: its data lies at bytes {entry.offset} to "
                f"{entry.offset + entry.size}, but the file has {size}. The file is truncated; download it again."
            )
    return entries


def _entry(path: Path, name: str, value: dict[str, Any], data_start: int) -> Entry:
    start, end = value["data_offsets"]
    return Entry(path, name, value["dtype"], tuple(value["shape"]), data_start + start, end - start)
