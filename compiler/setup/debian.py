"""Packages of Debian, and of the systems that are made from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from compiler.setup.steps import run_step

# Where downloads are blocked they may hang instead of failing.
SECONDS = 300.0


def can_install() -> bool:
    """Whether there is apt-get, and the right to use it."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(title: str, *arguments: str, log: Path, hint: str) -> None:
    """`apt-get install` with these arguments, after a fresh list of packages.

    Raises GemletError, with `hint`, where one of the two fails or takes more than SECONDS.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for name, *words in (("Debian's list of packages", "update"), (title, "install", "-y", *arguments)):
        run_step(name, ["apt-get", *words], log=log, environment=environment, hint=hint, timeout=SECONDS)
