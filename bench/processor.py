"""What threads get of the computer: memory, the bound on engines that read all weights for each token, and multiplications, which cores may have to share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

SOURCE = Path(__file__).parent / "processor.c"


@dataclass(frozen=True)
class Pace:
    """A second: bytes read of memory that no cache holds, and multiply-accumulates of 8-bit weights in the nearest cache."""

    memory: float
    products: float


class Processor:
    """Measures with the program that was built as `program`."""

    def __init__(self, program: Path):
        self._program = program

    def measure(self, threads: Sequence[int]) -> dict[int, Pace]:
        """What so many threads get together, by threads: medians of several passes. Raises CalledProcessError where the program fails."""
        run = {count: subprocess.run([self._program, str(count)], check=True, capture_output=True, text=True).stdout for count in threads}
        return {count: Pace(*map(float, text.split())) for count, text in run.items()}


@contextmanager
def built_processor() -> Iterator[Processor]:
    """The program lasts as long as the context. Raises CalledProcessError where it cannot be built."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "processor"
        subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O3", SOURCE, "-o", program, "-lpthread"], check=True, capture_output=True)
        yield Processor(program)
