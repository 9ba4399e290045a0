"""The project's own virtual environment: made, filled with the pinned packages, and entered."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup.steps import digest, is_stamped, run_step, write_stamp

# A level is a list of requirement files. The later ones are large, so only the commands of those names bring them.
LEVELS = {"run": ["run.txt"], "test": ["run.txt", "test.txt"], "bench": ["run.txt", "test.txt", "bench.txt"]}

# The oldest Python for each level: the reference of the tests, transformers 5.23, has no release for 3.10.
OLDEST_PYTHON = {"run": (3, 10), "test": (3, 11), "bench": (3, 11)}

TITLES = {
    "run": "Python packages",
    "test": "Python packages for the tests (large, once)",
    "bench": "Python packages for the benchmark (large, once)",
}

PIP_HINT = "check the network and pip's settings, then run the same command again"


def enter_environment(environment: Path, requirements: Path, level: str) -> None:
    """Returns inside `environment`, with all packages of `level` installed; outside, starts the program again in it.

    `requirements` is the folder of the files of LEVELS and lock.txt. A stamp in the environment holds the digest of
    the files that it was filled from, so a later run only reads a few small files.
    Raises GemletError where Python is too old or a step of the set-up fails.
    """
    if Path(sys.prefix).resolve() == environment.resolve():
        if not _is_ready(environment, requirements, level):
            _check_python(level, f"delete the folder {environment}, then start build.py with a newer Python")
            _install(environment, requirements, level)
        return
    python = environment / "bin" / "python"
    if not (python.exists() and (environment / "pyvenv.cfg").exists()):
        _check_python(level, "start build.py with a newer Python")
        _make(environment)
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])


def pip_install(environment: Path, *what: str) -> list[str]:
    """The command that installs `what` into `environment`."""
    python = str(environment / "bin" / "python")
    return [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", *what]


def _check_python(level: str, advice: str) -> None:
    if sys.version_info < OLDEST_PYTHON[level]:
        wanted, found = (".".join(map(str, version)) for version in (OLDEST_PYTHON[level], sys.version_info[:2]))
        raise GemletError(
            f"this needs Python {wanted} or newer, found {found}: {sys.executable}\n  what to do: {advice}"
        )


def _make(environment: Path) -> None:
    run_step(
        "Virtual environment",
        [sys.executable, "-m", "venv", "--clear", environment],
        log=environment.parent / ".cache" / "venv.log",
        hint="install Python's venv module (Debian and Ubuntu: apt-get install python3-venv), then run this again",
    )


def _install(environment: Path, requirements: Path, level: str) -> None:
    """Installs the packages of `level`, from inside the environment."""
    if importlib.util.find_spec("pip") is None:  # a set-up that was interrupted early
        run_step("Pip", [sys.executable, "-m", "ensurepip"], log=environment / "gemlet-pip.log", hint=PIP_HINT)
    files = [word for name in LEVELS[level] for word in ("-r", str(requirements / name))]
    run_step(
        TITLES[level],
        pip_install(environment, *files, "-c", str(requirements / "lock.txt")),
        log=environment / "gemlet-pip.log",
        hint=PIP_HINT,
    )
    for name, names in LEVELS.items():
        if set(names) <= set(LEVELS[level]):
            write_stamp(_stamp(environment, name), _digest(requirements, name))


def _is_ready(environment: Path, requirements: Path, level: str) -> bool:
    """Whether `environment` holds the packages of `level`, as the requirement files now name them."""
    return is_stamped(_stamp(environment, level), _digest(requirements, level))


def _stamp(environment: Path, level: str) -> Path:
    return environment / f"gemlet-{level}.stamp"


def _digest(requirements: Path, level: str) -> str:
    return digest([requirements / name for name in (*LEVELS[level], "lock.txt")])
