"""Sees that Mesa's llvmpipe is there, a Vulkan driver in software that the tests run kernels on besides Chromium."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup import debian

TITLE = "llvmpipe, Mesa's Vulkan driver in software"
# As wgpu sums it up, for instance "llvmpipe (LLVM 15.0.6, 256 bits) (CPU) via Vulkan".
ADAPTER = re.compile(r"llvmpipe\b.* via Vulkan")
# Asked in a process of its own: wgpu looks for drivers once, and is a package of the tests.
ADAPTERS_QUESTION = """
import wgpu
for adapter in wgpu.gpu.enumerate_adapters_sync():
    print(adapter.summary)
"""
HINT = "install Mesa's Vulkan drivers (Debian and Ubuntu: apt-get install mesa-vulkan-drivers), then run the same command again"


def ensure_llvmpipe(log_folder: Path) -> None:
    """Installs Debian's mesa-vulkan-drivers (as root, with apt-get) where there is no llvmpipe.

    Raises GemletError where it cannot be installed, or is not found after that.
    """
    if has_llvmpipe():
        return
    if debian.can_install():
        debian.install("Vulkan in software, from Debian", "mesa-vulkan-drivers", "--no-install-recommends", log=log_folder / "llvmpipe.log",
                       hint=HINT)
    if not has_llvmpipe():
        raise GemletError(f"the tests need {TITLE}, and WebGPU does not find it here\n  what to do: {HINT}")


def has_llvmpipe() -> bool:
    """Whether WebGPU finds it."""
    answer = subprocess.run([sys.executable, "-c", ADAPTERS_QUESTION], capture_output=True, text=True)
    return any(ADAPTER.match(line) for line in answer.stdout.splitlines())
