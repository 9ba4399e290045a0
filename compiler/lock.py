"""Writes requirements/lock.txt, from which the set-up installs: all packages of a level, with the SHA-256 of each file.

For whoever changes a version: edit run.txt, test.txt, bench.txt, node.txt, or a version in lock.txt, then run
`python -m compiler.lock` in the project's environment. It asks pip's index for each package by name, and refuses one that is pinned nowhere.
"""

from __future__ import annotations

import io
import json
import re
import urllib.request
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

from packaging.markers import Marker
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from pip._internal.models.index import PyPI

from compiler.errors import GemletError
from compiler.setup.environment import LEVELS, LOCK, OLDEST_PYTHON, UNLOCKED, read_lines
from compiler.setup.folders import REQUIREMENTS

HEAD = (
    "# Made by `python -m compiler.lock`: what each level installs beside those before it, and the hash of every file "
    "that may be it."
)
NEWEST_PYTHON = 14
LINUX, MACOS = ("linux", "Linux"), ("darwin", "Darwin")
PLATFORMS = [(*LINUX, "x86_64"), (*LINUX, "aarch64"), (*MACOS, "arm64"), (*MACOS, "x86_64")]
# Wheels of these tags, of Python 3.10 and newer.
TAG = re.compile(r"(py3|py2\.py3|cp3(1[0-4]|[2-9]))$")
ACCEPT = "application/vnd.pypi.simple.v1+json"

Target = tuple[int, str, str, str]  # minor version of Python, sys_platform, platform_system, platform_machine


def main() -> None:
    pins, done, text = read_pins(), {}, [HEAD]
    for level, names in LEVELS.items():
        found: dict[Requirement, set[Target]] = {}
        versions = range(OLDEST_PYTHON[level][1], NEWEST_PYTHON + 1)
        targets = [(minor, *platform) for minor in versions for platform in PLATFORMS]
        roots = [Requirement(line) for name in names for line in read_lines(REQUIREMENTS / name)]
        for target in targets:
            reached = closure(roots, pins, target)
            for name in reached.keys() - done.get(target, set()):
                found.setdefault(reached[name], set()).add(target)
            done.setdefault(target, set()).update(reached)
        ordered = sorted(found, key=lambda pin: (canonicalize_name(pin.name), str(pin.specifier)))
        text += [f"# {level}", *(entry(pin, marker_of(found[pin], targets)) for pin in ordered)]
    (REQUIREMENTS / LOCK).write_text("\n".join(text) + "\n", encoding="utf-8")
    node = REQUIREMENTS / "node.txt"
    comment, line = node.read_text("utf-8").splitlines()
    node.write_text(f"{comment}\n{entry(pin_of(line), '')}\n", encoding="utf-8")


def pin_of(line: str) -> Requirement:
    return Requirement(line.partition(" --hash")[0])


def read_pins() -> dict[str, list[Requirement]]:
    """What the files say of each package; those that are written by hand count first."""
    pins: dict[str, list[Requirement]] = {}
    for name in (*LEVELS["bench"], LOCK):
        for line in read_lines(REQUIREMENTS / name):
            pins.setdefault(canonicalize_name(pin_of(line).name), []).append(pin_of(line))
    return pins


def environment_of(target: Target) -> dict[str, str]:
    minor, platform, system, machine = target
    python = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "implementation_name": "cpython"}
    system_names = {"sys_platform": platform, "platform_system": system, "platform_machine": machine, "os_name": "posix"}
    return {**python, **system_names, "platform_python_implementation": "CPython", "extra": ""}


def closure(roots: list[Requirement], pins: dict[str, list[Requirement]], target: Target) -> dict[str, Requirement]:
    """The pin of each package that the roots bring along on a target."""
    environment, found = environment_of(target), {}
    seen = set()
    waiting = [(root, "") for root in roots]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name == UNLOCKED:
            # Those of its dependencies that are the same for all builds.
            needed = depends(name, str(wanted.specifier).removeprefix("=="))
            waiting += [(each, "") for each in needed if canonicalize_name(each.name) in pins]
            continue
        fitting = [pin for pin in pins.get(name, []) if not pin.marker or pin.marker.evaluate(environment)]
        if not fitting:
            raise GemletError(f"{name} ({wanted}) is not pinned for {target}; add it to {REQUIREMENTS / 'lock.txt'}")
        pin = fitting[0]
        version = str(pin.specifier).removeprefix("==")
        if not wanted.specifier.contains(version, prereleases=True):
            raise GemletError(f"{name}: {wanted} is wanted, but {pin} is pinned")
        found[name] = pin
        for each in {"", *wanted.extras}:
            if (name, each) not in seen:
                seen.add((name, each))
                waiting += [(needed, each) for needed in depends(name, version)]
    return found


@cache
def files_of(name: str) -> list[dict]:
    request = urllib.request.Request(f"{PyPI.simple_url}/{name}/", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["files"]


@cache
def files_of_version(name: str, version: str) -> list[dict]:
    """Wheels that fit, and the source where there is no wheel at all."""
    wheels, sources = [], []
    for file in files_of(name):
        if file["filename"].endswith(".whl"):
            try:
                _, number, _, tags = parse_wheel_filename(file["filename"])
            except ValueError:
                continue
            fits = any(TAG.fullmatch(tag.interpreter) and not tag.platform.startswith("win") for tag in tags)
            if str(number) == version and fits:
                wheels.append(file)
        elif file["filename"].endswith(".tar.gz"):
            try:
                if str(parse_sdist_filename(file["filename"])[1]) == version:
                    sources.append(file)
            except ValueError:
                continue
    if not wheels + sources:
        raise GemletError(f"the index has no file of {name} {version}")
    return wheels or sources


@cache
def depends(name: str, version: str) -> list[Requirement]:
    """What the package says that it needs: by what is installed here, else by the smallest of its wheels."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == version:
        return [Requirement(line) for line in installed.requires or []]
    wheels = [file for file in files_of_version(name, version) if file["filename"].endswith(".whl")]
    if not wheels:
        raise GemletError(f"{name} {version} has no wheel; install it here first")
    with urllib.request.urlopen(min(wheels, key=lambda file: file["size"])["url"], timeout=600) as answer:
        wheel = zipfile.ZipFile(io.BytesIO(answer.read()))
    path = next(path for path in wheel.namelist() if path.endswith(".dist-info/METADATA"))
    return Metadata.from_email(wheel.read(path), validate=False).requires_dist or []


def entry(pin: Requirement, marker: str) -> str:
    version = str(pin.specifier).removeprefix("==")
    hashes = sorted({file["hashes"]["sha256"] for file in files_of_version(canonicalize_name(pin.name), version)})
    condition = f"; {marker}" if marker else ""
    return " ".join([f"{pin.name}=={version}{condition}", *(f"--hash=sha256:{each}" for each in hashes)])


def marker_of(targets: set[Target], all_targets: list[Target]) -> str:
    """The simplest marker that tells these targets from the others."""
    if targets == set(all_targets):
        return ""
    versions = sorted({target[0] for target in targets})
    systems = sorted({target[1] for target in targets})
    machines = sorted({target[3] for target in targets})
    bounds = [f'python_version < "3.{versions[-1] + 1}"', f'python_version >= "3.{versions[0]}"']
    choices = [*bounds, " and ".join(bounds), *(f'sys_platform == "{system}"' for system in systems), *(f'platform_machine == "{machine}"' for machine in machines)]
    choices += [f"{left} and {right}" for left in choices for right in choices]
    for choice in choices:
        if {target for target in all_targets if Marker(choice).evaluate(environment_of(target))} == targets:
            return choice
    raise GemletError(f"no simple marker stands for {sorted(targets)}")


if __name__ == "__main__":
    main()
