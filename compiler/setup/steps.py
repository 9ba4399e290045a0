"""Runs the commands of the set-up, each as one friendly line, and remembers in stamp files which are done."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from compiler.errors import GemletError

LINES_SHOWN = 15
LONGEST_LINE = 300
SECONDS_BETWEEN_UPDATES = 1.0


def run_step(
    title: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    hint: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Runs `command` in `folder`, its output going to the file `log`, and prints `title` and the time it took.

    Raises GemletError with the command, its last lines and `hint` where it fails, cannot be started, or
    takes more than `timeout` seconds.
    """
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        try:
            process = subprocess.Popen(
                words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise GemletError(_failure(title, words, f"could not be started: {error}", log, hint)) from error
        outcome = _wait(process, title, started, timeout)
    seconds = time.monotonic() - started
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    if outcome != "done":
        raise GemletError(_failure(title, words, outcome, log, hint))
    print(f"  {title}: done in {seconds:.0f} s", flush=True)


def _wait(process: subprocess.Popen[bytes], title: str, started: float, timeout: float | None) -> str:
    """Waits for the end of `process`; returns "done" or what went wrong. Ends it on a timeout or on Ctrl-C."""
    if not sys.stdout.isatty():
        print(f"  {title} ...", flush=True)
    try:
        while True:
            seconds = time.monotonic() - started
            if timeout is not None and seconds > timeout:
                return f"took more than {timeout:.0f} s"
            if sys.stdout.isatty():
                print(f"\r  {title} ... {seconds:.0f} s", end="", flush=True)
            try:
                code = process.wait(SECONDS_BETWEEN_UPDATES)
            except subprocess.TimeoutExpired:
                continue
            return "done" if code == 0 else f"ended with exit status {code}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _failure(title: str, words: Sequence[str], outcome: str, log: Path, hint: str) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    parts = [f"{title}: the command {outcome}", f"  command: {shlex.join(words)}"]
    if lines:
        parts.append("  its last lines:")
        parts += [f"    {line[:LONGEST_LINE]}" for line in lines[-LINES_SHOWN:]]
        parts.append(f"  all of them: {log}")
    parts.append(f"  what to do: {hint}")
    return "\n".join(parts)


def digest(files: Iterable[Path], *words: str) -> str:
    """SHA-256, in hex digits, of the names and contents of `files`, in the order given, and of `words`."""
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(f"{file.name}\0{len(content)}\0".encode())
        total.update(content)
    total.update("\0".join(words).encode())
    return total.hexdigest()


def is_stamped(stamp: Path, value: str) -> bool:
    """Whether the file `stamp` says that the step whose inputs have the digest `value` is done."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == value


def write_stamp(stamp: Path, value: str) -> None:
    """Notes in the file `stamp` that the step whose inputs have the digest `value` is done."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(value, encoding="utf-8")
