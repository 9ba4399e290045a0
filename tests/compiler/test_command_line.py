"""The command line: what it accepts, and how errors reach the shell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compiler import command_line, commands
from compiler.command_line import main, parse
from compiler.commands import SIDE_BY_SIDE
from compiler.errors import GemletError
from compiler.setup.folders import PROJECT, SITE


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the environment were set up and entered."""
    monkeypatch.setattr(command_line, "enter_environment", lambda *_: None)


def raising(error: BaseException):
    def run(_options):
        raise error

    return run


def build(*arguments: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "build.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_compile_has_the_documented_defaults():
    options = parse(["compile", "model", "-o", "out"])
    assert (options.command, options.model, options.out, options.name) == ("compile", "model", Path("out"), None)
    assert (options.quant, options.context, options.targets, options.dump) == ("auto", None, ("webgpu", "wasm"), None)
    assert options.weights and not parse(["compile", "model", "-o", "out", "--no-weights"]).weights


def test_compile_takes_every_option():
    options = parse(
        "compile a/b -o x --name n-1 --quant q4 --context 4096 --targets webgpu --dump ir".split()
    )
    assert (options.model, options.out, options.name, options.quant) == ("a/b", Path("x"), "n-1", "q4")
    assert (options.context, options.targets, options.dump) == (4096, ("webgpu",), Path("ir"))


def test_serve_defaults_to_the_site_on_this_computer_alone():
    options = parse(["serve"])
    assert (options.out, options.host, options.port, options.cors) == (SITE, "127.0.0.1", None, None)


@pytest.mark.parametrize("origin", ["*", "https://example.org", "http://localhost:3000", "https://[::1]:8443"])
def test_serve_lets_one_origin_read(origin):
    assert parse(["serve", "--cors", origin.upper()]).cors == origin


def test_arguments_after_two_dashes_go_to_pytest_as_they_are():
    assert parse(["test", "--", "-k", "norm", "--", "x"]).pytest == ["-k", "norm", "--", "x"]


def test_no_command_is_the_default_build():
    assert parse([]).command is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compile model", "-o/--out"),
        ("serve --cors example.org", "'example.org' is no origin; expected one like https://example.org, or *"),
        ("serve --cors https://example.org/", "'https://example.org/' is no origin"),
        ("serve --cors null", "'null' is no origin"),
        ("compile model -o out --targets webgpu,metal", "'metal' is not a target"),
        ("compile model -o out --quant q3", "invalid choice: 'q3'"),
        ("compile model -o out --context 0", "'0' is not a whole number, at least 1"),
        ("compile model -o out --context -5", "'-5'"),
        ("serve --port 70000", "'70000' is not a whole number, from 0 to 65535"),
        ("serve out -- x", "only `test` takes arguments after --"),
        ("paint", "invalid choice: 'paint'"),
    ],
)
def test_a_wrong_line_ends_with_status_2_and_says_why(line, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(line.split())
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("error", [GemletError("tensor x is missing"), OSError(28, "No space left", "tensor x")])
def test_an_error_is_a_message_and_status_1(inside, monkeypatch, capsys, error):
    monkeypatch.setattr(commands, "run", raising(error))
    assert main(["serve"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"error: {error}\n"


def test_a_mistake_of_ours_keeps_its_traceback(inside, monkeypatch):
    monkeypatch.setattr(commands, "run", raising(KeyError("x")))
    with pytest.raises(KeyError):
        main(["serve"])


def test_ctrl_c_is_status_130(inside, monkeypatch, capsys):
    monkeypatch.setattr(commands, "run", raising(KeyboardInterrupt()))
    assert main(["serve"]) == 130
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("arguments", "level"), [([], "run"), (["serve"], "run"), (["test"], "test")])
def test_only_the_tests_bring_the_packages_of_the_tests(monkeypatch, arguments, level):
    levels = []
    monkeypatch.setattr(command_line, "enter_environment", lambda _environment, _files, level: levels.append(level))
    monkeypatch.setattr(commands, "run", lambda _options: 0)
    assert main(arguments) == 0
    assert levels == [level]


def test_help_needs_no_set_up_and_no_package():
    # -S and -I leave out site-packages: what is left is a bare Python.
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from compiler.command_line import main; main(['--help'])"
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(PROJECT)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "compile" in answer.stdout and "serve" in answer.stdout


@pytest.mark.parametrize(("arguments", "words"), [(["--", "-k", "norm"], ["-k", "norm"]), ([], [*SIDE_BY_SIDE])])
def test_the_tests_end_with_the_status_of_pytest(inside, monkeypatch, arguments, words):
    done = []
    set_up = ["ensure_node", "ensure_web_build", "ensure_chromium", "ensure_firefox", "ensure_llvmpipe", "check_web"]
    for step in set_up:
        monkeypatch.setattr(commands, step, lambda *_, step=step: done.append(step))

    def pytest_run(command, cwd):
        done.append(command[1:])
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(commands.subprocess, "run", pytest_run)
    assert main(["test", *arguments]) == 5
    assert done == [*set_up, ["-m", "pytest", *words]]


def test_serving_a_folder_without_a_page_is_an_error(inside, tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 1
    assert f"{tmp_path}: there is no page here" in capsys.readouterr().err


def test_a_missing_model_is_an_error_that_leaves_nothing(tmp_path):
    answer = build("compile", "missing.gguf", "-o", "out", folder=tmp_path)
    assert answer.returncode == 1
    assert "missing.gguf" in answer.stderr and "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    answer = build("compile", "missing.gguf", "-o", "out", folder=tmp_path)
    assert answer.returncode == 1
    assert "out: expected a folder or nothing, found a file" in answer.stderr
    assert (tmp_path / "out").read_text() == "mine"


def test_plan_of_a_bare_config_prints_json_and_nothing_else_and_does_without_torch(tmp_path):
    config = {"model_type": "gemma3_text", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128}
    config |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 512, "sliding_window": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-X", "importtime", str(PROJECT / "build.py"), "plan", "config.json", "--json"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["launches_per_decoded_token"] > 0
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "tvm.runtime" in imported and "torch.nn" not in imported
