"""A safetensors file in parts, written as they are, sound or not; and ways to damage them."""

import json
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.fuzz.json_damage import damaged_document, json_text
from tests.fuzz.values import cut_or_flip, odd_number

DTYPES = ("F32", "F16", "BF16", "U8", "I8", "F64", "BOOL", "F8_E4M3", "F4", "I64", "f32", "", "Q4_0", "C64")


@dataclass
class SafetensorsParts:
    """header: the JSON before the data. length: what the file's first 8 bytes say; None: the right one."""

    header: dict[str, Any]
    data: bytes
    length: int | None = None
    text: bytes | None = None  # in place of the header
    padding: bytes = field(default=b"")

    @staticmethod
    def of(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> "SafetensorsParts":
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        data = b""
        for name, (dtype, shape, values) in tensors.items():
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
            data += values
        return SafetensorsParts(header, data)

    @staticmethod
    def read(content: bytes) -> "SafetensorsParts":
        (length,) = struct.unpack("<Q", content[:8])
        return SafetensorsParts(json.loads(content[8 : 8 + length]), content[8 + length :])

    def written(self) -> bytes:
        text = json_text(self.header) if self.text is None else self.text
        text += self.padding
        return struct.pack("<Q", len(text) if self.length is None else self.length) + text + self.data


def damaged_safetensors(content: bytes, random: Random) -> bytes:
    """The file with one thing, or a few, that is wrong or means nothing."""
    parts = SafetensorsParts.read(content)
    names = [name for name in parts.header if name != "__metadata__"]
    one, other = random.choice(names), random.choice(names)
    tensor = parts.header[one]
    kind = random.randrange(15)
    if kind == 0:
        parts.length = random.choice((0, 1, 2, 7, 2**63, 2**64 - 1, len(content), len(content) - 8, 10**8, odd_number(random) % 2**64))
    elif kind == 1:
        tensor["data_offsets"] = [odd_number(random), odd_number(random)]
    elif kind == 2:
        parts.header[one] = tensor | {"data_offsets": parts.header[other]["data_offsets"]}
    elif kind == 3:
        tensor["dtype"] = random.choice(DTYPES)
    elif kind == 4:
        tensor["shape"] = [odd_number(random) for _ in range(random.choice((0, 1, 2, 3, 9, 70)))]
    elif kind == 5:
        tensor["shape"] = random.choice((tensor["shape"][::-1], [*tensor["shape"], 1], [1, *tensor["shape"]], tensor["shape"][1:]))
    elif kind == 6:
        parts.header = damaged_document(parts.header, random)
    elif kind == 7:
        return cut_or_flip(content, random)
    elif kind == 8:
        parts.data += random.choice((b"\0", bytes(64), b"x" * 4))
    elif kind == 9:
        start, end = tensor["data_offsets"]
        move = random.choice((-4, -1, 1, 4, 64))
        tensor["data_offsets"] = random.choice(([start + move, end + move], [start, end + move], [start + move, end], [end, start]))
    elif kind == 10:
        parts.header[random.choice((one + "x", "", "x" * 300, "lm_head.weight", "model." + one, one.upper(), "\n"))] = parts.header.pop(one)
    elif kind == 11:
        del parts.header[one]
    elif kind == 12:  # the same key twice
        text = json_text(parts.header)
        parts.text = text[:-1] + b"," + json_text({one: parts.header[other]})[1:]
    elif kind == 13:
        parts.padding = random.choice((b" " * random.randrange(1, 64), b"\n", b"\0", b"}", b"x"))
    else:
        parts.header = dict(random.sample(list(parts.header.items()), len(parts.header)))
    return parts.written()
