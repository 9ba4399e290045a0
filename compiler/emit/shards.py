"""Writes weight buffers one after the other into shards whose names carry their hash (docs/artifact.md)."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHARD_BYTES = 32 << 20
ALIGNMENT = 16  # of a buffer's start in its shard
WORD = 4  # sizes and places are multiples of it: WebGPU writes whole words

Piece = list[int]  # [shard, offset in shard, bytes, offset in buffer]


class ShardWriter:
    """Takes buffers one by one and writes full shards as it goes; memory holds one shard."""

    def __init__(self, folder: Path, limit: int = SHARD_BYTES) -> None:
        """`folder` is the model's, `limit` the most bytes of a shard, a multiple of ALIGNMENT."""
        self._folder = folder
        self._limit = limit
        self._current = bytearray()
        self._shards: list[dict[str, Any]] = []
        self._indices: dict[str, int] = {}  # SHA-256 -> place in the list of shards
        self._pieces: dict[str, list[Piece]] = {}
        self._open: list[Piece] = []  # pieces in the current shard, whose number is known once it is written

    def add(self, buffer: str, chunks: Iterable[Any]) -> None:
        """Appends the buffer's bytes (anything with the buffer protocol); together a multiple of WORD bytes.

        Raises ValueError for a buffer of another size, an empty one, or one that is there already.
        """
        if buffer in self._pieces:
            raise ValueError(f"buffer {buffer} was added twice")
        pieces = self._pieces[buffer] = []
        self._current.extend(bytes(-len(self._current) % ALIGNMENT))
        size = 0
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            while rest:
                if len(self._current) == self._limit:
                    self._write()
                taken = rest[: self._limit - len(self._current)]
                self._extend(pieces, len(taken), size)
                self._current.extend(taken)
                size += len(taken)
                rest = rest[len(taken) :]
        if size == 0 or size % WORD:
            raise ValueError(f"buffer {buffer} has {size} bytes; expected a multiple of {WORD}, not 0")

    def finish(self) -> tuple[list[dict[str, Any]], dict[str, list[Piece]]]:
        """Writes the last shard; returns the manifest's `shards` and the pieces of each buffer."""
        if self._current:
            self._write()
        return self._shards, self._pieces

    def _extend(self, pieces: list[Piece], count: int, offset: int) -> None:
        """Lets the buffer's last piece grow, or starts one where the current shard has none of it yet."""
        if self._open and pieces and self._open[-1] is pieces[-1]:
            pieces[-1][2] += count
        else:
            piece = [-1, len(self._current), count, offset]
            pieces.append(piece)
            self._open.append(piece)

    def _write(self) -> None:
        """Writes the current shard, unless one with the same bytes is there, and starts the next."""
        digest = hashlib.sha256(self._current).hexdigest()
        if digest not in self._indices:
            file = f"weights/{digest[:16]}.bin"
            path = self._folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._current)
            self._indices[digest] = len(self._shards)
            self._shards.append({"file": file, "bytes": len(self._current), "sha256": digest})
        for piece in self._open:
            piece[0] = self._indices[digest]
        self._open = []
        self._current = bytearray()
