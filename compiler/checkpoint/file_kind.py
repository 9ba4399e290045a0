"""Tells what a file is that is not what its name says: a pointer or a page in its place, or another format."""

import struct
from pathlib import Path

from compiler.errors import GemletError

BEGINNING = 512  # bytes that are looked at
PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<!--")


def require_content(path: Path, expected: str) -> None:
    """Raises GemletError where the file, which should be `expected`, begins as something else does."""
    with open(path, "rb") as stream:
        found = _found(stream.read(BEGINNING))
    if found is not None:
        raise GemletError(f"{path}: not {expected}: {found}")


def _found(start: bytes) -> str | None:
    """What a file that begins so is, and what to do, or None where nothing is wrong with it."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        return "the file is empty. Download it again."
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, which stands for the file in a repository. Run `git lfs pull` in its folder."
    if text.lower().startswith(PAGES):
        return "an HTML page, which a site sends where a file needs a login or is not there. Download the file itself."
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        return "PyTorch's own format, which can run code when it is read. " + CONVERT
    if start[:4] in (b"ggml", b"lmgg", b"tjgg", b"ggjt", b"fmgg", b"ggmf"):
        return "a GGML file from before GGUF. Take a GGUF file of this model."
    if start[:4] == b"FUGG":
        return "a big-endian GGUF file. " + LITTLE
    if start[:4] == b"GGUF" and len(start) >= 8:
        version = struct.unpack("<I", start[4:8])[0]
        if version and not version & 0xFFFF:
            return "a big-endian GGUF file. " + LITTLE
    return None


CONVERT = "Save the model as safetensors: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)."
LITTLE = "Take the little-endian one: convert the model again, or use gguf_convert_endian.py of llama.cpp."
