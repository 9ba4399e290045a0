"""Reads the header of a GGUF file: its metadata and where each tensor lies.

Not with `gguf.GGUFReader`: that makes several numpy objects of every token of the vocabulary, which takes 9 s and
hundreds of megabytes on the 262144 tokens of Gemma, and it reports a truncated file as a reshape error.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUF_DEFAULT_ALIGNMENT, GGUF_MAGIC, GGMLQuantizationType, GGUFValueType

from compiler.checkpoint.json_file import printable, shown
from compiler.checkpoint.tensor import SOURCE_FORMATS, Tensor, block_sizes
from compiler.errors import GemletError

VERSIONS = (2, 3)
# What a header may take. Gemma 4's vocabulary and merges have 16 MB; a file that claims more would fill the memory.
LARGEST_HEADER = 64 << 20
MOST_ENTRIES = 1 << 16  # of metadata, and of tensors
MOST_STRINGS = 1 << 22  # in all arrays together
MOST_DIMENSIONS = 4  # as in ggml
SCALARS = {  # GGUF type -> struct format of its little-endian value
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}


@dataclass(frozen=True)
class GGUFFile:
    """Metadata (plain Python values, arrays as lists) and tensors under the file's own names."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, Tensor]


def read_gguf_file(path: Path) -> GGUFFile:
    """Reads the header of one file. Raises GemletError where it is no sound GGUF file, naming what is wrong."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        magic = stream.read(4)
        if magic != struct.pack("<I", GGUF_MAGIC):
            raise GemletError(f"{path}: not a GGUF file: it starts with {magic!r}; expected b'GGUF'.")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _HeaderReader(path, data, size).read()


class _HeaderReader:
    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size = path, data, size
        self.end = min(size, LARGEST_HEADER)
        self.position, self.strings = 4, 0

    def read(self) -> GGUFFile:
        version = self._scalar("<I")
        if version not in VERSIONS:
            raise GemletError(
                f"{self.path}: GGUF version {version}; expected one of {VERSIONS}. Convert the file again."
            )
        tensor_count, field_count = (self._count(what, MOST_ENTRIES) for what in ("tensors", "metadata entries"))
        fields: dict[str, Any] = {}
        for _ in range(field_count):
            key = self._string()
            if key in fields:
                raise GemletError(f"{self.path}: metadata {shown(key)} is there twice. Convert the file again.")
            fields[key] = self._value(self._value_type(key), key)
        infos = [self._tensor_info() for _ in range(tensor_count)]
        alignment = fields.get("general.alignment", GGUF_DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment < 1 or alignment & alignment - 1:
            raise GemletError(
                f"{self.path}: metadata general.alignment: expected a power of two, found {shown(alignment)}. "
                "The file is damaged; download or convert it again."
            )
        data_start = -(-self.position // alignment) * alignment
        tensors: dict[str, Tensor] = {}
        for name, shape, source_format, offset in infos:
            tensor = Tensor(name, shape, source_format, self.path, name, data_start + offset)
            end = _end(tensor)
            if end > self.size:
                raise GemletError(
                    f"{self.path}: tensor {name}: its data ends at byte {end}, but the file has {self.size} bytes. "
                    "The file is truncated; download it again."
                )
            if name in tensors:
                raise GemletError(f"{self.path}: tensor {name} is there twice. Convert the file again.")
            tensors[name] = tensor
        self._require_apart(sorted(tensors.values(), key=lambda tensor: tensor.offset))
        return GGUFFile(self.path, fields, tensors)

    def _require_apart(self, ordered: list[Tensor]) -> None:
        for before, tensor in zip(ordered, ordered[1:]):
            if tensor.offset < _end(before):
                raise GemletError(
                    f"{self.path}: tensor {tensor.source_name} overlaps tensor {before.source_name}; expected one behind "
                    "the other. The file is damaged; download or convert it again."
                )

    def _count(self, what: str, most: int) -> int:
        count = self._scalar("<Q")
        if count > most:
            raise GemletError(
                f"{self.path}: the header claims {count} {what}, more than the {most} that any Gemma needs. "
                "The file is damaged; download it again."
            )
        return count

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > self.end:
            limit = f"the file has {self.size}" if self.end == self.size else f"no Gemma's header has more than {self.end}"
            raise GemletError(
                f"{self.path}: the header ends in mid-entry: {count} bytes expected at byte {self.position}, but {limit}. "
                "The file is truncated or damaged; download it again."
            )
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _scalar(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _string(self) -> str:
        text = self._take(self._scalar("<Q"))
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GemletError(
                f"{self.path}: a string before byte {self.position} is not UTF-8 ({error.reason}). "
                "The file is damaged; download it again."
            ) from None

    def _value_type(self, key: str) -> GGUFValueType:
        code = self._scalar("<I")
        if code not in (*SCALARS, GGUFValueType.STRING, GGUFValueType.ARRAY):
            raise GemletError(f"{self.path}: metadata {shown(key)}: unknown value type {code}. The file is damaged.")
        return GGUFValueType(code)

    def _value(self, kind: GGUFValueType, key: str) -> Any:
        if kind == GGUFValueType.STRING:
            return self._string()
        if kind != GGUFValueType.ARRAY:
            return self._scalar(SCALARS[kind])
        item, count = self._value_type(key), self._scalar("<Q")
        if item == GGUFValueType.ARRAY:
            raise GemletError(
                f"{self.path}: metadata {shown(key)}: an array of arrays; expected plain values. Convert the file again."
            )
        if item == GGUFValueType.STRING:
            self.strings += count
            if self.strings > MOST_STRINGS:
                raise GemletError(
                    f"{self.path}: metadata {shown(key)}: {count} texts, more than any Gemma's vocabulary has. "
                    "The file is damaged; download it again."
                )
            return [self._string() for _ in range(count)]
        layout = np.dtype(SCALARS[item])
        return np.frombuffer(self._take(count * layout.itemsize), layout).tolist()

    def _tensor_info(self) -> tuple[str, tuple[int, ...], str, int]:
        name = printable(self._string(), str(self.path))
        dimensions = self._scalar("<I")
        if dimensions > MOST_DIMENSIONS:
            raise GemletError(
                f"{self.path}: tensor {name}: {dimensions} dimensions; expected at most {MOST_DIMENSIONS}. "
                "The file is damaged; download or convert it again."
            )
        shape = tuple(self._scalar("<Q") for _ in range(dimensions))[::-1]  # the file has the contiguous axis first
        code, offset = self._scalar("<I"), self._scalar("<Q")
        known = code in list(GGMLQuantizationType)
        source_format = GGMLQuantizationType(code).name if known else f"number {code}"
        if source_format not in SOURCE_FORMATS:
            raise GemletError(
                f"{self.path}: tensor {name}: type {source_format} is not supported; expected one of "
                f"{', '.join(SOURCE_FORMATS)}. Take another quantization of this model."
            )
        if not shape or prod(shape) == 0 or shape[-1] % block_sizes(source_format)[0]:
            raise GemletError(
                f"{self.path}: tensor {name}: shape {shape} is not possible in {source_format}, whose blocks have "
                f"{block_sizes(source_format)[0]} values. The file is damaged; download or convert it again."
            )
        return name, shape, source_format, offset


def _end(tensor: Tensor) -> int:
    """The file's byte behind the tensor's last."""
    return tensor.offset + tensor.row_count * tensor.row_bytes
