"""Sees that Mesa's llvmpipe is there, a Vulkan driver in software that the tests run kernels on besides Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup.steps import run_step

TITLE = "llvmpipe, Mesa's Vulkan driver in software"
# As wgpu sums it up, for instance "llvmpipe (LLVM 15.0.6, 256 bits) (CPU) via Vulkan".
ADAPTER = re.compile(r"llvmpipe\b.* via Vulkan")
# Asked in a process of its own: wgpu looks for drivers once, and is a package of the tests.
ADAPTERS_QUESTION = """
import wgpu
for adapter in wgpu.gpu.enumerate_adapters_sync():
    print(adapter.summary)
"""
INSTALL_SECONDS = 300.0
HINT = "install Mesa's Vulkan drivers (Debian and Ubuntu: apt-get install mesa-vulkan-drivers), then run the same command again"


def ensure_llvmpipe(log_folder: Path) -> None:
    """Installs Debian's mesa-vulkan-drivers (as root, with apt-get) where there is no llvmpipe.

    Raises GemletError where it cannot be installed, or is not found after that.
    """
    if has_llvmpipe():
        return
    if shutil.which("apt-get") is not None and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for title, *words in (("Debian's list of packages", "update"),
                              ("Vulkan in software, from Debian", "install", "-y", "--no-install-recommends", "mesa-vulkan-drivers")):
            run_step(title, ["apt-get", *words], log=log_folder / "llvmpipe.log", environment=environment, hint=HINT, timeout=INSTALL_SECONDS)
    if not has_llvmpipe():
        raise GemletError(f"the tests need {TITLE}, and WebGPU does not find it here\n  what to do: {HINT}")


def has_llvmpipe() -> bool:
    """Whether WebGPU finds it."""
    answer = subprocess.run([sys.executable, "-c", ADAPTERS_QUESTION], capture_output=True, text=True)
    return any(ADAPTER.match(line) for line in answer.stdout.splitlines())
