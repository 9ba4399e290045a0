"""The site around the models: the page beside them, and the default model compiled just once."""

import json
import os
import sys
import types
from pathlib import Path

import pytest

from compiler import commands, default_site
from compiler.checkpoint import default_model
from compiler.command_line import parse
from compiler.default_site import ensure_default_site
from compiler.errors import GemletError
from compiler.progress import SilentProgress
from compiler.site import check_folder, copy_page, describe

MANIFEST = {
    "title": "Small",
    "license": {"name": "Gemma Terms of Use", "url": "https://example.org/terms", "file": "LICENSE.txt"},
    "shards": [{"bytes": 3 * 2**20}, {"bytes": 2**20}],
}


def write_model(folder: Path, without_text=()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"facts": {"vocab_size": 262208}, "tokenizer": {"without_text": without_text}}
    (folder / "model.json").write_text(json.dumps(MANIFEST | facts))
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("page")
    (tmp_path / "dist" / "assets" / "a.js").write_text("code")
    return tmp_path / "dist"


def test_the_page_is_laid_beside_the_models(page, tmp_path):
    write_model(tmp_path / "out" / "models" / "m")
    (tmp_path / "out" / "index.html").write_text("older page")
    copy_page(page, tmp_path / "out")
    assert (tmp_path / "out" / "index.html").read_text() == "page"
    assert (tmp_path / "out" / "assets" / "a.js").read_text() == "code"
    assert (tmp_path / "out" / "models" / "m" / "model.json").is_file()


def test_a_model_is_described_with_its_size_and_licence(tmp_path):
    assert describe(write_model(tmp_path / "m")) == (
        f"Small: 4 MiB of weights in {tmp_path / 'm'}\n"
        "licence of its weights: Gemma Terms of Use https://example.org/terms"
    )


def test_rows_of_the_vocabulary_without_a_token_are_told(tmp_path):
    folder = write_model(tmp_path / "m", without_text=[[7, 9], [262146, 262208]])
    assert describe(folder).splitlines()[2] == "64 of 262,208 rows of the vocabulary have no token: never drawn"


def test_a_file_in_the_place_of_the_site_is_an_error(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(GemletError, match="file: expected a folder or nothing, found a file"):
        check_folder(tmp_path / "file")


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The arguments of each compilation; a compiler that writes a manifest stands in for ours."""
    calls: list[tuple] = []

    def compile_model(checkpoint, out: Path, name: str, *rest) -> Path:
        calls.append((checkpoint, out, name, *rest))
        return write_model(out / "models" / name)

    (tmp_path / "model.gguf").write_bytes(b"weights")
    (tmp_path / "project" / "compiler").mkdir(parents=True)
    (tmp_path / "project" / "compiler" / "source.py").write_text("a = 1")
    monkeypatch.setattr(default_model, "default_model_path", lambda _cache, _progress: tmp_path / "model.gguf")
    monkeypatch.setattr("compiler.checkpoint.open_checkpoint", str)
    monkeypatch.setitem(sys.modules, "compiler.package", types.SimpleNamespace(compile_model=compile_model))
    monkeypatch.setattr(default_site, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(default_site, "SITE", tmp_path / "site")
    monkeypatch.setattr(default_site, "PROJECT", tmp_path / "project")
    return calls


def test_both_ways_to_a_site_leave_compressed_copies_in_it(compiled, page, tmp_path, monkeypatch):
    (page / "assets" / "long.js").write_text("export {};\n" * 200)
    ensure_default_site(page, SilentProgress())
    assert (tmp_path / "site" / "assets" / "long.js.br").is_file()
    monkeypatch.setattr(commands, "ensure_web_build", lambda *_: page)
    assert commands.run(parse(["compile", "model", "-o", str(tmp_path / "out"), "--name", "m"])) == 0
    assert (tmp_path / "out" / "assets" / "long.js.gz").is_file()


def test_the_default_model_is_compiled_again_only_when_an_input_changed(compiled, page, tmp_path, capsys):
    def count() -> int:
        before = len(compiled)
        ensure_default_site(page, SilentProgress())
        return len(compiled) - before

    assert count() == 1
    assert compiled[0][:3] == (str(tmp_path / "model.gguf"), tmp_path / "site", default_site.NAME)
    assert (tmp_path / "site" / "index.html").read_text() == "page"
    assert "licence of its weights: Gemma Terms of Use" in capsys.readouterr().out
    assert count() == 0
    (tmp_path / "project" / "compiler" / "source.py").write_text("a = 2")
    assert count() == 1
    os.utime(tmp_path / "model.gguf", ns=(1, 1))
    assert count() == 1
    (tmp_path / "site" / "models" / default_site.NAME / "model.json").unlink()
    assert count() == 1
    (page / "index.html").write_text("newer page")
    assert count() == 0
    assert (tmp_path / "site" / "index.html").read_text() == "newer page"
