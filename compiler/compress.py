"""Brotli and gzip copies beside a site's texts and programs, under the names that web servers look for: FILE.br and FILE.gz."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import brotli

# What shrinks. Weights do not, and pictures are compressed as they are.
COMPRESSIBLE = {".html", ".css", ".js", ".mjs", ".map", ".json", ".webmanifest", ".wasm", ".wgsl", ".jinja", ".txt", ".svg"}
LEAST_BYTES = 1024  # below that a copy saves no packet

# The best that Brotli has takes a second for 500 KiB; a tokenizer of 30 MiB takes three in the quality below.
BEST, BEST_BYTES, GOOD = 11, 2**18, 9


def compress_site(site: Path) -> None:
    """Writes the copies for every compressible file of a site, unless they are there.

    A copy has the time of its file, by which `fresh_copy` and this function know that it is one of the file as it is now.
    """
    for file in sorted(path for path in site.rglob("*") if path.suffix in COMPRESSIBLE and path.is_file()):
        content = None
        for suffix, compress in FORMATS.items():
            if file.stat().st_size < LEAST_BYTES or fresh_copy(file, suffix):
                continue
            content = file.read_bytes() if content is None else content
            _write(file, suffix, compress(content))


def fresh_copy(file: Path, suffix: str) -> bool:
    """Whether FILE.br or FILE.gz (the suffix says which) is a plain file, no link, and as old as `file`."""
    copy = file.with_name(file.name + suffix)
    return copy.is_file() and not copy.is_symlink() and copy.stat().st_mtime_ns == file.stat().st_mtime_ns


def _write(file: Path, suffix: str, content: bytes) -> None:
    """Under another name first, so that a server never finds half a copy."""
    part = file.with_name(f".{file.name}{suffix}.part")
    part.write_bytes(content)
    status = file.stat()
    os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
    part.replace(file.with_name(file.name + suffix))


def _brotli(content: bytes) -> bytes:
    return brotli.compress(content, quality=BEST if len(content) <= BEST_BYTES else GOOD)


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


FORMATS: dict[str, Callable[[bytes], bytes]] = {".br": _brotli, ".gz": _gzip}
