"""Compiles the driver of a module, which is C, and links it with the kernels: with the compiler and the linker of PyPI's `ziglang`."""
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import GemletError

PAGE = 65536
MOST_PAGES = 65536  # 4 GiB, all that 32 bits address
DATA = PAGE  # where the module's own constants and variables start; nothing lies below, so that a wrong pointer near 0 meets nothing


def compile_c(source: str, place: Path) -> None:
    """C text as an object file. Raises GemletError with the compiler's words."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "driver.c"
        text.write_text(source, encoding="utf-8")
        _zig("cc", "-target", "wasm32-freestanding", "-mcpu=generic+simd128+atomics+bulk_memory", "-O2", "-g0", "-nostdlib", "-c", text, "-o", place)


def link(objects: list[Path], exports: list[str], threads: bool) -> bytes:
    """The module of these objects, over an imported memory. threads: the memory is shared between workers. Raises GemletError."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "module.wasm"
        _zig("wasm-ld", "--no-entry", "--strip-all", "--gc-sections", *(f"--export={name}" for name in [*exports, "__stack_pointer"]), "--import-memory",
             *(["--shared-memory"] if threads else []), f"--max-memory={PAGE * MOST_PAGES}", f"--global-base={DATA}", *objects, "-o", place)
        return place.read_bytes()


def _zig(*arguments) -> None:
    command = [sys.executable, "-m", "ziglang", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise GemletError(f"ziglang {arguments[0]} failed with status {done.returncode}:\n{done.stderr.strip()}")
