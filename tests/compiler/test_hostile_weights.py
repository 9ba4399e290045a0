"""Headers of weights that claim what cannot be: refused by file and place, in bounded time and memory."""

import json
import os
import struct
from dataclasses import replace

import pytest
import safetensors

from compiler.checkpoint.gguf_file import LARGEST_HEADER, MOST_ENTRIES, read_gguf_file
from compiler.checkpoint.json_file import MOST_VALUES, parse_json_object
from compiler.checkpoint.safetensors_file import read_safetensors_header
from compiler.errors import GemletError
from tests.fuzz import seeds
from tests.fuzz.gguf_parts import GGUFParts, Value

TWO = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}


def safetensors_file(path, header, data: int = 16, length: int | None = None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def test_a_sound_header_is_read(tmp_path):
    entries = read_safetensors_header(safetensors_file(tmp_path / "x.safetensors", TWO))
    assert [(entry.shape, entry.size) for entry in entries.values()] == [((2,), 8), ((2,), 8)]


@pytest.mark.parametrize(("header", "data", "message"), [
    (TWO | {"b": TWO["b"] | {"data_offsets": [4, 12]}}, 12, "tensor b overlaps tensor a"),
    (TWO | {"b": TWO["a"]}, 8, "tensor [ab] overlaps tensor [ab]"),
    (TWO | {"b": TWO["b"] | {"data_offsets": [12, 20]}}, 20, "tensor b begins 4 bytes behind the end of tensor a"),
    ({"b": TWO["b"]}, 16, "tensor b begins 8 bytes behind the end of the header"),
    (TWO, 20, "4 bytes lie behind tensor b"),
    (TWO | {"b": TWO["b"] | {"data_offsets": [16, 8]}}, 16, "tensor b: data_offsets"),
    (TWO | {"b": TWO["b"] | {"shape": [-1, -2]}}, 16, r"tensor b: shape \[-1, -2\] is not possible"),
    (TWO | {"b": TWO["b"] | {"shape": [10**30]}}, 16, "tensor b: shape .* is not possible"),
    (TWO | {"b": TWO["b"] | {"shape": [True, 2]}}, 16, "tensor b: shape: expected a whole number, found True"),
    (TWO | {"b": TWO["b"] | {"shape": [2.0]}}, 16, "tensor b: shape: expected a whole number, found 2.0"),
    (TWO | {"b": TWO["b"] | {"dtype": "Q4_0"}}, 16, "tensor b: type 'Q4_0' is not supported"),
    (TWO | {"b": TWO["b"] | {"dtype": None}}, 16, "tensor b: dtype: expected a text, found None"),
    (TWO | {"b": TWO["b"] | {"dtype": {}}}, 16, "tensor b: dtype: expected a text"),
    (TWO | {"b": TWO["b"] | {"data_offsets": [8, 10**30]}}, 16, "tensor b: its data lies at bytes"),
    (TWO | {"x" * 300: TWO["b"]}, 16, "a tensor is called 'x.*expected at most 256"),
    (TWO | {"\x1b[31m": TWO["b"]}, 16, "a tensor is called .*printable"),
    (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}', 16,
     "the key 'a' is there twice"),
    (b"[" * 100_000, 0, "nests too deeply"),
    (b'{"a": ' + b"9" * 5000 + b"}", 0, "not a safetensors file"),
    (b'{"\\ud800": 1}', 0, "half a surrogate pair"),
])  # fmt: skip
def test_safetensors_that_the_library_or_reason_refuses_are_refused_by_name(tmp_path, header, data, message):
    path = safetensors_file(tmp_path / "x.safetensors", header, data)
    with pytest.raises(GemletError, match=rf"x\.safetensors: .*{message}"):
        read_safetensors_header(path)


def test_what_is_refused_for_overlaps_and_gaps_the_library_refuses_too():
    for header, data in ((TWO | {"b": TWO["a"]}, 8), (TWO, 20), ({"b": TWO["b"]}, 16)):
        text = json.dumps(header).encode()
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(struct.pack("<Q", len(text)) + text + bytes(data))


@pytest.mark.parametrize("length", [0, 1, 2**24 + 1, 10**8, 2**63, 2**64 - 1])
def test_a_header_length_beyond_bounds_reads_nothing(tmp_path, length):
    path = safetensors_file(tmp_path / "x.safetensors", TWO, length=length)
    os.truncate(path, 1 << 40)  # sparse: whoever believed the length would fill the memory
    with pytest.raises(GemletError, match=r"x\.safetensors: not a safetensors file: its first 8 bytes"):
        read_safetensors_header(path)


def gguf(tmp_path, change) -> object:
    parts = seeds.gguf(3)
    change(parts)
    path = tmp_path / "x.gguf"
    path.write_bytes(parts.written())
    return path


def field(key: str, value: Value):
    return lambda parts: parts.fields.update({key: value})


def tensor(number: int, **values):
    def change(parts: GGUFParts) -> None:
        parts.tensors[number] = replace(parts.tensors[number], **values)

    return change


@pytest.mark.parametrize(("change", "message"), [
    (lambda parts: setattr(parts, "twice", "general.name"), "metadata 'general.name' is there twice"),
    (lambda parts: setattr(parts, "tensor_count", 2**60), f"the header claims {2**60} tensors, more than the {MOST_ENTRIES}"),
    (lambda parts: setattr(parts, "field_count", 2**64 - 1), "metadata entries, more than"),
    (lambda parts: setattr(parts, "tensor_count", 60_000), "the header ends in mid-entry|dimensions; expected at most 4"),
    (field("x", Value("array", [0], "uint8", 2**60)), "the header ends in mid-entry"),
    (field("x", Value("array", ["a"], "string", 2**60)), "metadata 'x': .* texts, more than"),
    (field("x", Value("array", ["a"], "string", 2**20)), "the header ends in mid-entry|not UTF-8"),
    (field("x", Value("string", "a", count=2**63)), "the header ends in mid-entry"),
    (field("general.alignment", Value("uint32", 0)), "general.alignment: expected a power of two, found 0"),
    (field("general.alignment", Value("uint32", 24)), "general.alignment: expected a power of two, found 24"),
    (field("general.alignment", Value("bool", True)), "general.alignment: expected a power of two, found True"),
    (tensor(1, offset=0), "tensor output_norm.weight overlaps tensor token_embd.weight|tensor token_embd.weight overlaps"),
    (tensor(1, dimensions=2**32 - 1), "tensor output_norm.weight: 4294967295 dimensions; expected at most 4"),
    (tensor(1, shape=(2**63, 2**63)), "tensor output_norm.weight: its data ends at byte"),
    (tensor(1, offset=2**64 - 32), "tensor output_norm.weight: its data ends at byte"),
    (tensor(1, name="x" * 5000), "a tensor is called"),
])  # fmt: skip
def test_gguf_headers_that_cannot_be_are_refused_by_name(tmp_path, change, message):
    path = gguf(tmp_path, change)
    with pytest.raises(GemletError, match=rf"x\.gguf: .*({message})"):
        read_gguf_file(path)


@pytest.mark.parametrize("value", [Value("array", [0], "uint8", 2**36), Value("array", [0], "float64", 2**33), Value("string", "a", count=2**36)])
def test_a_sparse_file_as_large_as_it_claims_is_refused_before_it_is_read(tmp_path, value):
    path = gguf(tmp_path, field("x", value))
    os.truncate(path, 1 << 40)
    with pytest.raises(GemletError, match=rf"x\.gguf: the header ends in mid-entry.*no Gemma's header has more than {LARGEST_HEADER}"):
        read_gguf_file(path)


@pytest.mark.parametrize("text", [b"[" + b"[]," * MOST_VALUES + b"[]]", b"{" + b'"a":0,' * (MOST_VALUES + 1) + b'"b":0}'])
def test_json_of_very_many_values_is_refused_before_it_is_parsed(tmp_path, text):
    with pytest.raises(GemletError, match=f"x.json: more than {MOST_VALUES} values"):
        parse_json_object(text, tmp_path / "x.json")
