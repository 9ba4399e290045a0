"""Keeps what kernels compile to in the project's cache, so that the next compile of the same kernel only reads a file.

A kernel's name holds everything that shapes its code (compiler/kernels/kernel.py), so that a kernel is known by its name, by the text of
the compiler and by TVM's version. Reading its TIR, which takes longer than compiling it, is left out as well.
"""
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tvm.tirx.script.parser.entry import TIRJit

from ..setup.folders import CACHE, PROJECT

SOURCES = ("compiler", "model_defs")
# Kernels of a compiler that has changed since are of no use.
SECONDS_UNUSED = 14 * 24 * 3600


def kept(function: TIRJit, key: str, make: Callable[[], bytes]) -> bytes:
    """What `make` returns for the kernel of this function and key, made once for all compiles.

    Kernels that are defined outside the compiler, as tests do, have names that say less: they are made anew each time.
    """
    if not function.func.__module__.startswith("compiler."):
        return make()
    place = folder() / hashlib.sha256(key.encode()).hexdigest()
    content = read(place)
    if content is None:
        content = make()
        write(place, content)
    return content


def read(place: Path) -> bytes | None:
    """The content that was written; None where there is none, or what is there is damaged."""
    try:
        stored = place.read_bytes()
    except FileNotFoundError:
        return None
    content = stored[32:]
    return content if hashlib.sha256(content).digest() == stored[:32] else None


def write(place: Path, content: bytes) -> None:
    """Puts the content in its place at once, since another process may read or write it too."""
    handle, name = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(content).digest() + content)
    os.replace(name, place)


@cache
def folder() -> Path:
    """The folder of this compiler's kernels. Those of other states of the compiler go once they were not used for long."""
    root = CACHE / "kernels"
    own = root / compiler_digest()
    own.mkdir(parents=True, exist_ok=True)
    os.utime(own)
    for other in root.iterdir():
        if other != own and time.time() - other.stat().st_mtime > SECONDS_UNUSED:
            shutil.rmtree(other, ignore_errors=True)
    return own


def compiler_digest() -> str:
    """SHA-256, in hex digits, of all that shapes kernels beside their names: our own text and TVM's version."""
    total = hashlib.sha256(importlib.metadata.version("apache-tvm").encode())
    for source in sorted(path for name in SOURCES for path in (PROJECT / name).rglob("*.py")):
        text = source.read_bytes()
        total.update(f"{source.relative_to(PROJECT).as_posix()}\0{len(text)}\0".encode() + text)
    return total.hexdigest()
