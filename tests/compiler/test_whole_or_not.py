"""Whatever fails while a model is compiled, at whichever step: the site is as it was before, and nothing is left beside it."""

import errno
import json
from pathlib import Path

import pytest

from compiler import package
from compiler.checkpoint import open_checkpoint
from compiler.package import compile_model
from compiler.progress import SilentProgress
from tests.fixtures.damage import contents, make_site
from tests.fuzz import seeds

STEPS = ("read_texts", "lower_model", "plan_wasm", "write_shaders", "write_modules", "known_answer", "write_weights", "write_texts", "manifest", "wasm_entry",
         "write_json", "models_index", "put_in_place")  # fmt: skip
FULL = OSError(errno.ENOSPC, "No space left on device", "/x")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    folder.mkdir()
    for name, content in seeds.folder().items():
        (folder / name).write_bytes(content)
    return folder


def compiled(model: Path, out: Path) -> None:
    compile_model(open_checkpoint(model), out, "tiny", "f32", 16, ("webgpu", "wasm"), None, SilentProgress())


@pytest.fixture(scope="module", autouse=True)
def shared(model):
    """What takes longest, and is the same for all, is done once."""
    with pytest.MonkeyPatch.context() as patched:
        for step in ("lower_model", "plan_wasm", "known_answer"):
            patched.setattr(package, step, once(getattr(package, step)))
        patched.setattr(package, "write_modules", lambda folder, *_: (folder / "wasm.txt").write_text("") and [])
        patched.setattr(package, "wasm_entry", lambda *_: {})
        yield


def once(step):
    made = []

    def result(*arguments, **named):
        if not made:
            made.append(step(*arguments, **named))
        return made[0]

    return result


@pytest.fixture(scope="module")
def sound(model, tmp_path_factory) -> dict[str, bytes | None]:
    """What a compile that nothing disturbs leaves."""
    out = tmp_path_factory.mktemp("sound")
    compiled(model, out)
    return contents(out)


def check_untouched(model: Path, folder: Path, raised: type[BaseException]) -> None:
    existing = make_site(folder / "existing", "tiny", "other")
    before = contents(existing)
    for out in (folder / "new" / "out", existing):
        with pytest.raises(raised):
            compiled(model, out)
    assert not (folder / "new").exists()
    assert contents(existing) == before


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_leaves_nothing(model, sound, tmp_path, monkeypatch, step):
    def fail(*_, **__):
        raise FULL

    monkeypatch.setattr(package, step, fail)
    check_untouched(model, tmp_path, OSError)


@pytest.mark.parametrize("raised", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_rename_that_fails_puts_everything_back(model, sound, tmp_path, monkeypatch, call, raised):
    """In a site without the model there are two: of its folder, and of the list; in one with it the older folder's comes first."""
    original, calls = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == call:
            raise raised
        return original(path, target)

    existing = make_site(tmp_path / "existing", "tiny", "other")
    before = contents(existing)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(type(raised)):
            compiled(model, existing)
    assert contents(existing) == before
    compiled(model, existing)
    assert [entry["name"] for entry in json.loads((existing / "models" / "index.json").read_text())["models"]] == ["other", "tiny"]
    assert {path for path in contents(existing / "models") if path.startswith("tiny/")} == {path.removeprefix("models/") for path in sound if path.startswith("models/tiny/")}
