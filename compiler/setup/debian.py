"""Packages of Debian, and of the systems that are made from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from compiler.setup.steps import run_step

# Where downloads are blocked they may hang instead of failing.
SECONDS = 300.0


# Set to anything but nothing, it keeps build.py from installing packages of the system.
VARIABLE = "GEMLET_NO_APT"


def can_install() -> bool:
    """Whether there is apt-get, the right to use it, and nothing that forbids it."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0 and not os.environ.get(VARIABLE)


def install(title: str, package: str, *options: str, log: Path, hint: str) -> None:
    """`apt-get install` of a package, after a fresh list of packages; says so first.

    Raises GemletError, with `hint`, where one of the two fails or takes more than SECONDS.
    """
    print(f"  installing Debian's package {package}, with what it needs, by apt-get (set {VARIABLE}=1 to prevent it)", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for name, *words in (("Debian's list of packages", "update"), (title, "install", "-y", *options, package)):
        run_step(name, ["apt-get", *words], log=log, environment=environment, hint=hint, timeout=SECONDS)
