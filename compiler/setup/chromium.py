"""Finds the Chromium that the browser tests drive, and installs one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup import debian
from compiler.setup.steps import run_step

VARIABLE = "GEMLET_CHROMIUM"
NAMES = ("chromium", "google-chrome", "google-chrome-stable")
PLAYWRIGHT = (sys.executable, "-m", "playwright")
PROGRAM_QUESTION = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""

# Playwright's download is about 200 MB; where it is blocked it may hang instead of failing.
DOWNLOAD_SECONDS = 300.0

HINT = f"install Chromium or Chrome by hand, or set {VARIABLE} to its program"


def find_chromium() -> str:
    """The program of a Chromium that starts: $GEMLET_CHROMIUM, one on the PATH, or Playwright's own.

    Raises GemletError where there is none, or where GEMLET_CHROMIUM names something that does not start.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not _starts(chosen):
            raise GemletError(f"{VARIABLE} is {chosen!r}, which does not start as a browser\n  what to do: {HINT}")
        return chosen
    for program in map(shutil.which, NAMES):
        if program is not None and _starts(program):
            return program
    program = _playwright_program()
    if program is not None and _starts(program):
        return program
    raise GemletError(f"no Chromium starts here (tried {', '.join([*NAMES, 'Playwright'])})\n  what to do: {HINT}")


def ensure_chromium(log_folder: Path, playwright: Sequence[str] = PLAYWRIGHT) -> str:
    """find_chromium, after installing one where there is none: Playwright's, else (as root, with apt-get) Debian's.

    Raises GemletError where none can be installed.
    """
    try:
        return find_chromium()
    except GemletError:
        if os.environ.get(VARIABLE):
            raise
    log = log_folder / "chromium.log"
    try:
        run_step("Chromium, from Playwright", [*playwright, "install", "chromium"], log=log, hint=HINT, timeout=DOWNLOAD_SECONDS)
        return find_chromium()
    except GemletError:
        if not debian.can_install():
            raise
    print("  Chromium, from Playwright: cannot be had here, Debian's is taken instead", flush=True)
    debian.install("Chromium, from Debian", "chromium", log=log, hint=HINT)
    return find_chromium()


def _starts(program: str) -> bool:
    """Whether the browser can be loaded: one that lacks a system library ends with an error."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _playwright_program() -> str | None:
    """Where Playwright keeps its Chromium; None where it has not installed one."""
    # In a process of its own: Playwright allows one session a process, and the caller may be inside it.
    answer = subprocess.run([sys.executable, "-c", PROGRAM_QUESTION], capture_output=True, text=True)
    program = answer.stdout.strip()
    return program if answer.returncode == 0 and Path(program).exists() else None
