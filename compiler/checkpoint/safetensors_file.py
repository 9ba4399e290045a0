"""Reads the header of a safetensors file: where each tensor lies.

Own code, because the library hands out whole arrays and has no bfloat16 in numpy; here only the header is parsed. What
the library refuses is refused here, too: tensors that overlap, gaps, bytes behind the last, sizes that do not fit.
Format: https://github.com/huggingface/safetensors#format
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from compiler.checkpoint.json_file import list_of, parse_json_object, printable, shown, typed
from compiler.checkpoint.tensor import Tensor
from compiler.checkpoint.text_file import MIB
from compiler.errors import GemletError

FORMATS = ("F32", "F16", "BF16")
BITS = {  # a value's, of all types that the format knows
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64},
    **{"C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}
MOST_DIMENSIONS = 8
UNREADABLE = "not a safetensors file: its header cannot be read:"
LARGEST_HEADER = 16 * MIB  # that of Gemma 4 31B has 0.2 MB


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
        """The tensor under its canonical name. Raises GemletError where its type is not one of FORMATS, or it is empty."""
        if self.dtype not in FORMATS:
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: type {self.dtype} is not supported; expected one of "
                f"{', '.join(FORMATS)}. Take the unquantized checkpoint of this model."
            )
        if self.size == 0:
            raise GemletError(
                f"{self.file}: tensor {self.source_name}: shape {self.shape} holds no value. Download the file again."
            )
        return Tensor(name, self.shape or (1,), self.dtype, self.file, self.source_name, self.offset, add)


def read_safetensors_header(path: Path) -> dict[str, Entry]:
    """All tensors by the file's own names. Raises GemletError where it is no whole safetensors file."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LARGEST_HEADER:
            raise GemletError(
                f"{path}: not a safetensors file: its first 8 bytes are no header length from 2 to {LARGEST_HEADER} ({start!r})."
            )
        if 8 + length > size:
            raise GemletError(
                f"{path}: the header takes {length} bytes, but the file has {size}. "
                "The file is truncated; download it again."
            )
        text = stream.read(length)
    header = parse_json_object(text, path, UNREADABLE)
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, value, 8 + length, size) for name, value in header.items()}
    _require_whole(path, list(entries.values()), 8 + length, size)
    return entries


def _entry(path: Path, name: str, value: Any, data_start: int, file_size: int) -> Entry:
    where, unreadable = (f"{path}: {begin}tensor {printable(name, str(path))}" for begin in ("", f"{UNREADABLE} "))
    value = typed(value, dict, unreadable)
    dtype = typed(value.get("dtype"), str, f"{unreadable}: dtype")
    shape = tuple(list_of(value.get("shape"), int, f"{unreadable}: shape"))
    offsets = list_of(value.get("data_offsets"), int, f"{unreadable}: data_offsets")
    if dtype not in BITS:
        raise GemletError(f"{where}: type {shown(dtype)} is not supported; expected one of {', '.join(BITS)}.")
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1]:
        raise GemletError(
            f"{unreadable}: data_offsets {shown(offsets)}; expected where its data starts and ends. Download the file again."
        )
    start, end = offsets
    if data_start + end > file_size:
        raise GemletError(
            f"{where}: its data lies at bytes {shown(data_start + start)} to {shown(data_start + end)}, "
            f"but the file has {file_size}. The file is truncated; download it again."
        )
    if len(shape) > MOST_DIMENSIONS or not all(0 <= extent <= file_size * 2 for extent in shape):
        raise GemletError(f"{where}: shape {shown(list(shape))} is not possible. The file is damaged; download it again.")
    if prod(shape) * BITS[dtype] != 8 * (end - start):
        raise GemletError(
            f"{where}: shape {shape} in {dtype} takes {prod(shape) * BITS[dtype] / 8:g} bytes, "
            f"the header gives it {end - start}. The file is damaged; download it again."
        )
    return Entry(path, name, dtype, shape, data_start + start, end - start)


def _require_whole(path: Path, entries: list[Entry], data_start: int, file_size: int) -> None:
    """Raises GemletError unless the tensors fill the file behind its header, each byte once."""
    end, before = data_start, "the header"
    for entry in sorted(entries, key=lambda entry: (entry.offset, entry.size)):
        if entry.offset != end:
            found = "overlaps" if entry.offset < end else f"begins {entry.offset - end} bytes behind the end of"
            raise GemletError(
                f"{path}: tensor {entry.source_name} {found} {before}; expected one behind the other. "
                "The file is damaged; download it again."
            )
        end, before = entry.offset + entry.size, f"tensor {entry.source_name}"
    if end != file_size:
        raise GemletError(
            f"{path}: {file_size - end} bytes lie behind {before}; expected none. The file is damaged; download it again."
        )
