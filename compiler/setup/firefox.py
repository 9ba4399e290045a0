"""Finds a Firefox for the tests of WebAssembly and of the page, and installs Debian's where that can be done."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup import debian

NAMES = ("firefox-esr", "firefox")
HINT = "install Firefox by hand (Debian: apt-get install firefox-esr), or run the tests without it: those of test_firefox.py are skipped then"


def find_firefox() -> str | None:
    """The program of a Firefox on the PATH that starts; None where there is none."""
    for program in map(shutil.which, NAMES):
        if program is not None and _starts(program):
            return program
    return None


def ensure_firefox(log_folder: Path) -> None:
    """Installs Debian's firefox-esr (as root, with apt-get) where there is no Firefox. Where it cannot be had the tests that want one are skipped."""
    if find_firefox() is not None or not debian.can_install():
        return
    try:
        debian.install("Firefox, from Debian", "firefox-esr", "--no-install-recommends", log=log_folder / "firefox.log", hint=HINT)
    except GemletError as error:
        print(f"  no Firefox, so its tests are skipped: {error}", flush=True)


def _starts(program: str) -> bool:
    """Whether it can be loaded; some systems have a script of that name that only says how to install it."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
