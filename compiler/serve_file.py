"""A file as the answer to a request: whole or a range of it, plain or as the compressed copy beside it."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from compiler.compress import COMPRESSIBLE, fresh_copy
from compiler.serve_range import is_same_file, wanted_range

# The name of each encoding in HTTP, the best one first.
SUFFIXES = {"br": ".br", "gzip": ".gz"}


class SiteFile(web.FileResponse):
    """aiohttp's answer with a file, and what it does not do itself.

    It would send any copy beside the file, also one of an older content; it takes `If-Range` only as a date, so that
    a download that goes on after the file has changed would be of two files; and it has ideas of its own of ranges that
    are none. What it gets to see is a request that leaves it no such choice.
    """

    def __init__(self, request: web.BaseRequest, file: Path, headers: dict[str, str]):
        self.file = file
        self.range = self._range(request, request.headers.getall("Range", []), request.headers.getall("If-Range", []))
        # A range is one of the file itself, whatever the browser could unpack.
        encoding = None if self.range else self._encoding(request.headers.get("Accept-Encoding", ""))
        encoded = {"Content-Encoding": encoding} if encoding else {}
        vary = {"Vary": "Accept-Encoding"} if file.suffix in COMPRESSIBLE else {}
        path = file.with_name(file.name + SUFFIXES[encoding]) if encoding else file
        super().__init__(path, headers=headers | vary | encoded)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        headers = CIMultiDict(request.headers)
        for name in ("Range", "If-Range"):
            headers.popall(name, None)
        if self.range is not None:
            headers["Range"] = self.range
        headers["Accept-Encoding"] = "identity"
        return await super().prepare(request.clone(headers=headers))

    def _range(self, request: web.BaseRequest, ranges: list[str], conditions: list[str]) -> str | None:
        """The range to send; None: the file whole."""
        if request.method != "GET" or len(ranges) != 1:
            return None
        status = self.file.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'  # as aiohttp makes them
        if conditions and not (len(conditions) == 1 and is_same_file(conditions[0], tag, status)):
            return None
        return wanted_range(ranges[0])

    def _encoding(self, accepted: str) -> str | None:
        """The best encoding that the request takes and a copy is there for."""
        if self.file.suffix not in COMPRESSIBLE:
            return None
        for encoding, suffix in SUFFIXES.items():
            if _accepts(accepted, encoding) and fresh_copy(self.file, suffix):
                return encoding
        return None


def _accepts(header: str, encoding: str) -> bool:
    """Whether an Accept-Encoding names the encoding, with a weight above 0."""
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == encoding:
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False
