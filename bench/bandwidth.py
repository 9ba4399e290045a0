"""How fast the computer reads memory: the bound on tokens a second of an engine that reads all weights for each."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parent / "bandwidth.c"


def read_bandwidths(threads: Sequence[int]) -> dict[int, float]:
    """Bytes a second that so many threads read together, by threads: the best of several passes over 512 MiB each.

    Raises CalledProcessError where the program cannot be built or run.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bandwidth"
        subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O3", SOURCE, "-o", program, "-lpthread"], check=True, capture_output=True)
        return {count: float(subprocess.run([program, str(count)], check=True, capture_output=True, text=True).stdout) for count in threads}
