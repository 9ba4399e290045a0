"""The project's own virtual environment: made, filled with the pinned packages, and entered."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from compiler.errors import GemletError
from compiler.setup.steps import digest, is_stamped, run_step, write_stamp

# What is installed, of all levels, with hashes; made by compiler/lock.py from the files below.
LOCK = "lock.txt"

# A level is a list of requirement files. The later ones are large, so only the commands of those names bring them.
LEVELS = {"run": ["run.txt"], "test": ["run.txt", "test.txt"], "bench": ["run.txt", "test.txt", "bench.txt"]}

# Of this there are builds for processors and for several GPUs, with files and dependencies of their own, of which a computer may be set up for
# one. The tests alone use it.
UNLOCKED = "torch"

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
    Raises GemletError on Windows, where Python is too old, or where a step of the set-up fails.
    """
    if sys.platform == "win32":
        raise GemletError(
            "gemlet's set-up runs on Linux and macOS, not on Windows itself\n"
            "  what to do: run it in the Windows Subsystem for Linux (wsl --install)"
        )
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
    log, lines = environment / "gemlet-pip.log", locked_lines(requirements / LOCK, level)
    locked, pinned = environment / "gemlet-locked.txt", environment / "gemlet-pinned.txt"
    locked.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run_step(TITLES[level], pip_install(environment, "--require-hashes", "--no-deps", "-r", str(locked)), log=log, hint=PIP_HINT)
    unlocked = [line for name in LEVELS[level] for line in read_lines(requirements / name) if line.startswith(f"{UNLOCKED}==")]
    if unlocked:
        # It brings what its build needs, but nothing of what is there in another version.
        pinned.write_text("".join(f"{line.partition(' --hash')[0]}\n" for line in lines), encoding="utf-8")
        run_step("PyTorch (large, once)", pip_install(environment, *unlocked, "-c", str(pinned)), log=log, hint=PIP_HINT)
    for name, names in LEVELS.items():
        if set(names) <= set(LEVELS[level]):
            write_stamp(_stamp(environment, name), _digest(requirements, name))


def locked_lines(lock: Path, level: str) -> list[str]:
    """What a level installs: a requirement a line, with the hash of every file that it may be. The file has a section `# LEVEL` for what each
    level adds to those before it."""
    wanted, section, found = list(LEVELS)[: list(LEVELS).index(level) + 1], "", []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = line.removeprefix("#").strip()
        elif line and section in wanted:
            found.append(line)
    return found


def read_lines(file: Path) -> list[str]:
    """The requirements of a file, without its comments."""
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def _is_ready(environment: Path, requirements: Path, level: str) -> bool:
    """Whether `environment` holds the packages of `level`, as the requirement files now name them."""
    return is_stamped(_stamp(environment, level), _digest(requirements, level))


def _stamp(environment: Path, level: str) -> Path:
    return environment / f"gemlet-{level}.stamp"


def _digest(requirements: Path, level: str) -> str:
    return digest([requirements / name for name in (*LEVELS[level], LOCK)])
