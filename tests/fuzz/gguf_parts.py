"""A GGUF file in parts, written as they are, sound or not; and ways to damage them."""

import struct
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.values import TEXTS, cut_or_flip, odd_number

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64", "float64")
LAYOUTS = dict(zip(TYPES, ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "", "", "<Q", "<q", "<d")))


@dataclass(frozen=True)
class Value:
    """kind: one of TYPES, or a number that is none. items: the type of an array's values. count: what the file says of an
    array's or a text's length; None: the right one."""

    kind: str | int
    value: Any
    items: str | int = "uint32"
    count: int | None = None

    @staticmethod
    def text(value: str) -> "Value":
        return Value("string", value)

    @staticmethod
    def texts(values: list[str]) -> "Value":
        return Value("array", values, "string")

    @staticmethod
    def array(items: str, values: list) -> "Value":
        return Value("array", values, items)

    @cached_property
    def written(self) -> bytes:
        return struct.pack("<I", code(self.kind)) + self.payload()

    def payload(self) -> bytes:
        if self.kind == "array":
            values = self.value if isinstance(self.value, list) else [self.value]
            head = struct.pack("<IQ", code(self.items), len(values) if self.count is None else self.count)
            return head + b"".join(scalar(self.items, value) for value in values)
        if self.kind == "string":
            return text(self.value, self.count)
        return scalar(self.kind, self.value)


def code(kind: str | int) -> int:
    return TYPES.index(kind) if isinstance(kind, str) else kind


def text(value: Any, count: int | None = None) -> bytes:
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(content) if count is None else count) + content


def scalar(kind: str | int, value: Any) -> bytes:
    """The value in that type, cut to what it holds."""
    if kind == "string":
        return text(value)
    if not isinstance(kind, str) or kind == "array":
        return bytes(8)
    number = value if isinstance(value, int | float) else len(str(value))
    if kind == "bool":
        return bytes([int(number) % 256 if number == number and abs(number) < 2**70 else 2])
    if kind.startswith("float"):
        with np.errstate(over="ignore"):
            return (np.float32 if kind == "float32" else np.float64)(number).tobytes()
    size = struct.calcsize(LAYOUTS[kind])
    whole = int(number) if number == number and abs(number) != float("inf") else 0
    return (whole % (1 << 8 * size)).to_bytes(size, "little")


@dataclass(frozen=True)
class TensorPart:
    """shape: as in the file, the contiguous axis first. offset: None for the next free place."""

    name: Any
    shape: tuple[int, ...]
    kind: int
    data: bytes
    offset: int | None = None
    dimensions: int | None = None


def tensor_part(name: str, values: np.ndarray) -> TensorPart:
    return TensorPart(name, values.shape[::-1], 0, values.tobytes())


@dataclass
class GGUFParts:
    fields: dict[str, Value]
    tensors: list[TensorPart]
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    field_count: int | None = None
    twice: str | None = None  # a key that is written once more

    def written(self) -> bytes:
        keys = [*self.fields, *([self.twice] if self.twice is not None else [])]
        counts = (len(self.tensors) if self.tensor_count is None else self.tensor_count, len(keys) if self.field_count is None else self.field_count)
        head = self.magic + struct.pack("<IQQ", self.version, *counts)
        head += b"".join(text(key) + self.fields[key].written for key in keys)
        data, infos = b"", b""
        for tensor in self.tensors:
            offset = len(data) if tensor.offset is None else tensor.offset
            dimensions = len(tensor.shape) if tensor.dimensions is None else tensor.dimensions
            infos += text(tensor.name) + struct.pack("<I", dimensions)
            infos += b"".join(scalar("uint64", extent) for extent in tensor.shape) + struct.pack("<I", tensor.kind) + scalar("uint64", offset)
            data += tensor.data + bytes(-len(tensor.data) % 32)
        head += infos
        return head + bytes(-len(head) % 32) + data


def damaged_gguf(parts: GGUFParts, random: Random) -> bytes:
    """The file with one thing that is wrong or means nothing."""
    parts = GGUFParts(dict(parts.fields), list(parts.tensors))
    key = random.choice(list(parts.fields))
    number = random.randrange(len(parts.tensors))
    tensor, value = parts.tensors[number], parts.fields[key]
    kind = random.randrange(20)
    if kind <= 6:
        parts.fields[key] = damaged_value(value, random)
    elif kind == 7:
        parts.twice = key
    elif kind == 8:
        del parts.fields[key]
    elif kind == 9:
        parts.tensor_count = odd_number(random) % 2**64
    elif kind == 10:
        parts.field_count = odd_number(random) % 2**64
    elif kind == 11:
        parts.magic, parts.version = random.choice(((b"GGML", 3), (b"GGUF", 0), (b"GGUF", 4), (b"GGUF", 2), (b"FUGG", 3), (b"GGUF", 0x03000000)))
    elif kind == 12:
        parts.tensors[number] = replace(tensor, offset=random.choice((0, 1, 4, 32, 2**60, 2**64 - 32, odd_number(random))))
    elif kind == 13:
        shape = random.choice((tensor.shape[::-1], (*tensor.shape, 1), (odd_number(random), *tensor.shape[1:]), (2**32, 2**32), (), (0,), (1,) * 6))
        parts.tensors[number] = replace(tensor, shape=shape)
    elif kind == 14:
        parts.tensors[number] = replace(tensor, dimensions=random.choice((0, 1, 3, 4, 5, 255, 2**31, 2**32 - 1)))
    elif kind == 15:
        parts.tensors[number] = replace(tensor, kind=random.choice((*range(42), 999, 2**32 - 1)))
    elif kind == 16:
        name = random.choice((parts.tensors[0].name, "output.weight", "v.x", "blk.9.attn_q.weight", "", "x" * 5000, b"\xff", "blk.00.attn_q.weight", "rope_freqs.weight", "blk.0.attn_k.bias"))
        parts.tensors[number] = replace(tensor, name=name)
    elif kind == 17:
        del parts.tensors[number]
    elif kind == 18:
        random.shuffle(parts.tensors)
    else:
        return cut_or_flip(parts.written(), random)
    return parts.written()


def damaged_value(value: Value, random: Random) -> Value:
    kind = random.randrange(7)
    if kind == 0:
        return replace(value, kind=random.choice((*TYPES, 13, 99, 2**32 - 1)))
    if kind == 1:
        return replace(value, count=random.choice((0, 1, 2, 2**20, 2**31, 2**60, 2**63, 2**64 - 1)))
    if kind == 2:
        return replace(value, items=random.choice((*TYPES, 13, 99)))
    if kind == 3:
        return Value.text(random.choice((*TEXTS, b"\xff\xfe", "{% if %}", "x" * 100000)))
    if kind == 4 and isinstance(value.value, list):
        values = list(value.value)
        place = random.randrange(len(values))
        change = random.randrange(5)
        if change == 0:
            values[place] = random.choice(TEXTS) if value.items == "string" else random.choice((odd_number(random), float("nan"), float("inf")))
        elif change == 1:
            del values[place]
        elif change == 2:
            values[place:place] = [values[place]] * random.choice((1, 3))
        elif change == 3:
            values[place] = values[random.randrange(len(values))]
        else:
            random.shuffle(values)
        return replace(value, value=values)
    if kind == 5:
        return Value.array(random.choice(("uint32", "float32", "bool", "string", "int64")), random.choice(([], [0], [1, 1], [1, 0], [1, 2, 3])))
    return Value(random.choice(("uint32", "int32", "uint64", "int64", "float32", "float64", "bool", "uint8")), random.choice((odd_number(random), float("nan"), float("inf"), -1.5)))
