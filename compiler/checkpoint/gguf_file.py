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

from compiler.checkpoint.tensor import SOURCE_FORMATS, Tensor, block_sizes
from compiler.errors import GemletError

VERSIONS = (2, 3)
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
        self.position = 4

    def read(self) -> GGUFFile:
        version = self._scalar("<I")
        if version not in VERSIONS:
            raise GemletError(
                f"{self.path}: GGUF version {version}; expected one of {VERSIONS}. Convert the file again."
            )
        tensor_count, field_count = self._scalar("<Q"), self._scalar("<Q")
        fields = {}
        for _ in range(field_count):
            key = self._string()
            fields[key] = self._value(self._value_type(key), key)
        infos = [self._tensor_info() for _ in range(tensor_count)]
        alignment = fields.get("general.alignment", GGUF_DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise GemletError(
                f"{self.path}: metadata general.alignment: expected a positive number, found {alignment!r}. "
                "The file is damaged; download or convert it again."
            )
        data_start = -(-self.position // alignment) * alignment
        tensors = {}
        for name, shape, source_format, offset in infos:
            tensor = Tensor(name, shape, source_format, self.path, name, data_start + offset)
            end = tensor.offset + tensor.row_count * tensor.row_bytes
            if end > self.size:
                raise GemletError(
                    f"{self.path}: tensor {name}: its data ends at byte {end}, but the file has {self.size} bytes. "
                    "The file is truncated; download it again."
                )
            if name in tensors:
                raise GemletError(f"{self.path}: tensor {name} is there twice. Convert the file again.")
            tensors[name] = tensor
        return GGUFFile(self.path, fields, tensors)

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > self.size:
            raise GemletError(
                f"{self.path}: the header ends in mid-entry: {count} bytes expected at byte {self.position}, but the "
                f"file has {self.size}. The file is truncated or damaged; download it again."
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
            raise GemletError(f"{self.path}: metadata {key}: unknown value type {code}. The file is damaged.")
        return GGUFValueType(code)

    def _value(self, kind: GGUFValueType, key: str) -> Any:
        if kind == GGUFValueType.STRING:
            return self._string()
        if kind != GGUFValueType.ARRAY:
            return self._scalar(SCALARS[kind])
        item, count = self._value_type(key), self._scalar("<Q")
        if item == GGUFValueType.ARRAY:
            raise GemletError(
                f"{self.path}: metadata {key}: an array of arrays; expected plain values. Convert the file again."
            )
        if item == GGUFValueType.STRING:
            return [self._string() for _ in range(count)]
        layout = np.dtype(SCALARS[item])
        return np.frombuffer(self._take(count * layout.itemsize), layout).tolist()

    def _tensor_info(self) -> tuple[str, tuple[int, ...], str, int]:
        name = self._string()
        dimensions = self._scalar("<I")
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
