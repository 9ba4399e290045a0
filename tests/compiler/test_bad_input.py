"""Bad input ends `build.py compile` with a message that names file and tensor, and leaves OUT as it was: absent, or untouched."""
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compiler import command_line, commands
from compiler.checkpoint import open_checkpoint
from compiler.command_line import main
from compiler.package import compile_model
from compiler.pipeline import lower_model
from compiler.progress import SilentProgress
from compiler.setup.folders import PROJECT
from tests.fixtures.damage import (GGUF_FIELDS, GGUF_TYPES, WEIGHTS, contents, cut, edit, edit_tensors, gguf_tensors, info, make_site, patch, put,
                                   write_nan_scale)
from tests.fixtures.gguf_files import write_gguf

INDEX = "model.safetensors.index.json"
DOWN = "model.layers.2.mlp.down_proj.weight"


@pytest.fixture
def folder(checkpoints, tmp_path) -> Path:
    """A sound Hugging Face checkpoint, to be damaged."""
    return shutil.copytree(checkpoints("gemma3"), tmp_path / "checkpoint" / "gemma3")


@pytest.fixture
def gguf(tmp_path) -> Path:
    """A sound GGUF file, to be damaged."""
    path = tmp_path / "tiny.gguf"
    write_gguf(path, gguf_tensors(), GGUF_FIELDS, GGUF_TYPES)
    return path


@pytest.fixture
def compile_(monkeypatch, tmp_path, capsys) -> Callable[..., tuple[int, str]]:
    """Runs `build.py compile` in this process, as if all were set up; returns its exit status and standard error."""
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("the page")
    monkeypatch.setattr(command_line, "enter_environment", lambda *_: None)
    monkeypatch.setattr(commands, "ensure_node", lambda *_: None)
    monkeypatch.setattr(commands, "ensure_web_build", lambda *_: page)

    def run(*arguments) -> tuple[int, str]:
        try:
            status = main(["compile", *map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def refused(compile_, tmp_path) -> Callable[..., str]:
    """Compiles into nothing and into a site that has these models already: both times refused, and nothing has changed."""
    existing = make_site(tmp_path / "existing", "gemma3", "tiny-gemma", "other")
    before = contents(existing)

    def run(model, *options) -> str:
        for out in (tmp_path / "new" / "out", existing):
            status, message = compile_(model, "-o", out, *options)
            assert status in (1, 2), message
            assert not (tmp_path / "new").exists() and contents(existing) == before
        return message

    return run


FOLDER_CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated weights": (lambda f: cut(f / WEIGHTS, 4), rf"{WEIGHTS}: tensor model\.\S+: its data lies at bytes .* truncated"),
    "no safetensors": (lambda f: (f / WEIGHTS).write_bytes(b"PK\3\4" * 99), rf"{WEIGHTS}: not a safetensors file"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), rf"expected {INDEX} or exactly one safetensors file; found none"),
    "missing tensor": (lambda f: edit_tensors(f, lambda t: t.pop(DOWN)), rf"gemma3: tensor {DOWN} is missing; expected shape \(64, 96\)"),
    "missing part of a merged matrix": (lambda f: edit_tensors(f, lambda t: t.pop("model.layers.0.self_attn.k_proj.weight")),
                                        r"gemma3: tensor model\.layers\.0\.self_attn\.k_proj\.weight is missing"),
    "wrong shape": (lambda f: edit_tensors(f, lambda t: t.update({DOWN: t[DOWN][:-1]})),
                    rf"{WEIGHTS}: tensor {DOWN} has the wrong shape: expected \(64, 96\), found \(63, 96\)"),
    "wrong shape in a merged matrix": (
        lambda f: edit_tensors(f, lambda t: t.update({"model.layers.0.mlp.up_proj.weight": np.ones((90, 64), np.float32)})),
        r"gate_proj\.weight \+ \S+up_proj\.weight to be \(192, 64\) together, found .*\(90, 64\)"),
    "unsupported type": (lambda f: edit_tensors(f, lambda t: t.update({DOWN: t[DOWN].astype(np.int8)})),
                         rf"{WEIGHTS}: tensor {DOWN}: type I8 is not supported; expected one of F32"),
    "NaN in the last vector": (lambda f: put(f, "model.norm.weight", np.nan), rf"{WEIGHTS}: tensor model\.norm\.weight: row 0 holds a weight that is NaN"),
    "unknown architecture": (lambda f: edit(f / "config.json", model_type="llama"), r"config\.json: unknown model_type 'llama'; expected one of gemma3"),
    "config of another size": (lambda f: edit(f / "config.json", intermediate_size=128), r"mlp\.\w+\S* .*expected|to be \(256, 64\) together"),
    "config beyond the definition": (lambda f: edit(f / "config.json", hidden_activation="relu"), r"gemma3: config: `hidden_activation` is 'relu'"),
    "config that is no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json: not valid JSON"),
    "index of a missing shard": (lambda f: (f / INDEX).write_text(json.dumps({"weight_map": {DOWN: "model-00002-of-00002.safetensors"}})),
                                 rf"{INDEX}: names the shard model-00002-of-00002\.safetensors, which is missing"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json: the file is missing"),
    "damaged tokenizer": (lambda f: cut(f / "tokenizer.json", 9), r"tokenizer\.json: the tokenizer cannot be loaded"),
}


@pytest.mark.parametrize(("damage", "message"), FOLDER_CASES.values(), ids=FOLDER_CASES)
def test_a_damaged_folder_is_refused(folder, refused, damage, message):
    damage(folder)
    assert re.search(message, refused(folder, "--quant", "q8"))


GGUF_CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda f: cut(f, 1), r"tiny\.gguf: tensor blk\.1\.\S+: its data ends at byte \d+, but the file has \d+ bytes"),
    "truncated in its header": (lambda f: f.write_bytes(f.read_bytes()[:99]), r"tiny\.gguf: the header ends in mid-entry"),
    "wrong magic": (lambda f: patch(f, b"GGUF\3", b"GGML\3"), r"tiny\.gguf: not a GGUF file: it starts with b'GGML'"),
    "known type that cannot be read": (lambda f: write_gguf(f, gguf_tensors(), GGUF_FIELDS, {"blk.1.attn_v.weight": "MXFP4"}),
                                       r"tiny\.gguf: tensor blk\.1\.attn_v\.weight: type MXFP4 is not supported; expected one of F32"),
    "unknown type": (lambda f: patch(f, info("blk.0.attn_v.weight", (32, 64), 0), info("blk.0.attn_v.weight", (32, 64), 999)),
                     r"tiny\.gguf: tensor blk\.0\.attn_v\.weight: type number 999 is not supported"),
    "unknown architecture": (lambda f: write_gguf(f, gguf_tensors(), GGUF_FIELDS | {"general.architecture": "llama"}),
                             r"tiny\.gguf: unknown GGUF architecture 'llama'"),
    "missing tensor": (lambda f: patch(f, info("blk.1.attn_output.weight", (64, 64), 0), info("blk.9.attn_output.weight", (64, 64), 0)),
                       r"tiny\.gguf: tensor model\.layers\.1\.self_attn\.o_proj\.weight is missing; expected shape \(64, 64\)"),
    "wrong shape": (lambda f: write_gguf(f, gguf_tensors() | {"blk.0.attn_norm.weight": np.ones(32, np.float32)}, GGUF_FIELDS),
                    r"tiny\.gguf: tensor blk\.0\.attn_norm\.weight has the wrong shape: expected \(64,\), found \(32,\)"),
    "NaN in a scale": (lambda f: write_nan_scale(f, "model.layers.1.mlp.down_proj.weight"),
                       r"tiny\.gguf: tensor blk\.1\.ffn_down\.weight: row 63 holds a scale that is NaN or infinite; expected finite Q8_0"),
    "no tokenizer": (lambda f: write_gguf(f, gguf_tensors(), {key: value for key, value in GGUF_FIELDS.items() if not key.endswith(".model")}),
                     r"tiny\.gguf: metadata tokenizer\.ggml\.model is missing"),
}


@pytest.mark.parametrize(("damage", "message"), GGUF_CASES.values(), ids=GGUF_CASES)
def test_a_damaged_gguf_file_is_refused(gguf, refused, damage, message):
    damage(gguf)
    assert re.search(message, refused(gguf))


@pytest.mark.parametrize(("options", "message"), [
    (["--context", "0"], "'0' is not a whole number, at least 1"),
    (["--context", "-1"], "'-1' is not a whole number|expected one argument"),
    (["--context", "many"], "'many' is not a whole number"),
    (["--context", "1025"], r"gemma3: --context 1025; expected 1 to 1024, what the model was trained for"),
    (["--quant", "q3"], "invalid choice: 'q3'"),
    (["--targets", "webgpu,metal"], "'metal' is not a target: use webgpu,wasm"),
    (["--name", ""], "--name '': expected letters"),
    (["--name", "../up"], r"--name '\.\./up': expected letters"),
    (["--name", ".hidden"], r"--name '\.hidden': expected letters"),
    (["--name", "a/b"], "--name 'a/b': expected letters"),
    (["--name", "a b"], "--name 'a b': expected letters"),
    (["--name", "index.json"], r"--name 'index\.json': this file lists the models"),
])
def test_a_wrong_option_is_refused(folder, refused, options, message):
    assert re.search(message, refused(folder, *options))


def test_a_bare_configuration_cannot_be_compiled(folder, refused):
    assert "config.json: no weights here, only a configuration" in refused(folder / "config.json")


def test_a_broken_model_beside_the_new_one_is_named_and_nothing_is_replaced(gguf, compile_, tmp_path):
    site = make_site(tmp_path / "site", "tiny-gemma", "other")
    (site / "models" / "other" / "model.json").write_text('{"title": 1}')
    before = contents(site)
    status, message = compile_(gguf, "-o", site)
    assert status == 1 and re.search(r"other/model\.json: not the manifest of a compiled model \(KeyError: 'chat'\)", message)
    assert contents(site) == before


def test_a_sound_model_replaces_the_older_one_of_its_name_and_leaves_the_others(gguf, compile_, tmp_path):
    site = make_site(tmp_path / "site", "tiny-gemma", "other")
    other = contents(site / "models" / "other")
    status, message = compile_(gguf, "-o", site)
    assert status == 0, message
    assert not (site / "models" / "tiny-gemma" / "old.wgsl").exists() and (site / "index.html").read_text() == "the page"
    assert contents(site / "models" / "other") == other
    assert sorted(path.name for path in (site / "models").iterdir()) == ["index.json", "other", "tiny-gemma"]
    index = json.loads((site / "models" / "index.json").read_text("utf-8"))["models"]
    assert [(entry["name"], entry["title"]) for entry in index] == [("other", "old other"), ("tiny-gemma", "Tiny Gemma")]


class Interrupted(SilentProgress):
    """Ctrl-C as soon as the phase of that title has begun."""

    def __init__(self, title: str):
        self.title = title

    def phase(self, title: str, total: int | None, unit: str):
        if title == self.title:
            raise KeyboardInterrupt
        return super().phase(title, total, unit)


@pytest.mark.parametrize("title", ["compiling kernels", "packing weights"])
def test_ctrl_c_leaves_nothing(gguf, tmp_path, title):
    with pytest.raises(KeyboardInterrupt):
        compile_model(open_checkpoint(gguf), tmp_path / "out", None, "auto", None, ("webgpu",), None, Interrupted(title))
    assert not (tmp_path / "out").exists()


def test_the_last_tensor_fails_when_all_others_are_packed(folder):
    """What the two cases of a NaN at the end rely on: weights are packed in the order of the plan, and these come last."""
    order = [tensor.name for weight in lower_model(open_checkpoint(folder), "q8", None).weights for tensor in weight.tensors]
    assert order[-1] == "model.norm.weight" and order.index(DOWN) > len(order) - 7


@pytest.mark.parametrize("options", [[], ["--context", "-3"]])
def test_the_command_itself_ends_without_a_traceback(gguf, tmp_path, options):
    cut(gguf, 1)
    command = [sys.executable, str(PROJECT / "build.py"), "compile", gguf.name, "-o", "out", *options]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert answer.returncode == (2 if options else 1)
    assert "error: " in answer.stderr and "Traceback" not in answer.stderr and answer.stdout == ""
    assert not (tmp_path / "out").exists()
