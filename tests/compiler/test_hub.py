"""Models come whole from the hub, whatever happens on the way, and errors say which model, what is wrong and what to do."""

import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

from compiler.checkpoint import open_checkpoint
from compiler.emit.manifest import source
from compiler.errors import GemletError
from compiler.setup.folders import PROJECT
from tests.fixtures.hub_models import FILES, ID, LARGE, cache, hub, loaded, point_to  # noqa: F401  (two are fixtures)
from tests.fixtures.hub_server import COMMIT, serving_hub, sha256


def ranges(hub):
    """The ranges in which the large file was asked for."""
    return [part for method, path, part, _ in hub.requests if method == "GET" and path.startswith("/store/")]


def test_a_model_is_downloaded_through_the_redirect_and_says_where_it_came_from(hub, cache):
    checkpoint = loaded()
    assert (checkpoint.hub_id, checkpoint.revision, checkpoint.title) == (ID, COMMIT, "tiny-gemma")
    assert source(checkpoint) == {"id": ID, "revision": COMMIT}
    assert checkpoint.license.name == "Apache 2.0"
    assert {file.name for file in checkpoint.path.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    assert ranges(hub) == [None]


def test_a_second_run_transfers_no_file_again(hub):
    loaded()
    hub.requests.clear()
    loaded()
    assert not any("/resolve/" in path or "/store/" in path for _, path, _, _ in hub.requests)


@pytest.mark.parametrize("revision", ["other", COMMIT])
def test_a_revision_is_taken_where_one_is_given(hub, revision):
    assert loaded(f"{ID}@{revision}").revision == COMMIT
    assert not any("/main" in path for _, path, _, _ in hub.requests)


def test_a_connection_that_breaks_again_and_again_is_resumed(hub):
    hub.cut_after = LARGE // 4
    loaded()
    assert ranges(hub) == [None, *(f"bytes={quarter * LARGE // 4}-" for quarter in (1, 2, 3))]


def break_off(hub, cache):
    """Half of the large file arrives, then nothing more; returns the half file's path."""
    send = hub.RequestHandlerClass.answer_store

    def once(handler, name):
        hub.cut_after = LARGE // 2 if not ranges(hub)[1:] else 0
        send(handler, name)

    hub.RequestHandlerClass.answer_store = once
    try:
        with pytest.raises(GemletError, match=rf"{ID}: model\.safetensors: the download broke off at {LARGE // 2} of {LARGE} bytes"):
            open_checkpoint(ID)
    finally:
        hub.RequestHandlerClass.answer_store = send
    hub.cut_after = None
    hub.requests.clear()
    (partial,) = cache.rglob("*.incomplete")
    assert partial.read_bytes() == FILES["model.safetensors"][: LARGE // 2]
    assert not list(cache.rglob("model.safetensors"))
    return partial


def test_the_run_after_an_interrupted_one_asks_for_the_rest_only(hub, cache):
    partial = break_off(hub, cache)
    loaded()
    assert ranges(hub) == [f"bytes={LARGE // 2}-"]
    assert not partial.exists()


def test_half_a_file_is_never_taken_for_a_whole_one_without_the_hub(hub, cache, monkeypatch):
    break_off(hub, cache)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(GemletError, match=f"{ID} in the local cache: holds neither config.json with safetensors"):
        open_checkpoint(ID)


@pytest.mark.parametrize("left", [b"something else", bytes(LARGE), bytes(LARGE + 1)], ids=["shorter", "as long", "longer"])
def test_leftovers_that_are_not_the_files_beginning_never_become_the_file(hub, cache, left):
    partial = break_off(hub, cache)
    partial.write_bytes(left)
    if len(left) <= LARGE:
        with pytest.raises(GemletError, match=rf"{ID}: model\.safetensors: the downloaded file has hash [0-9a-f]+; expected"):
            open_checkpoint(ID)
        assert not partial.exists()
    loaded()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_etag_is_refused_before_anything_is_stored(hub, cache, name):
    hub.etags[name] = "0" * 64
    with pytest.raises(GemletError, match=rf"{ID}: {name}: the hub's listing says hash .* but the file's own answer says 0{{64}}"):
        open_checkpoint(ID)
    assert not list(cache.rglob(name)) and not list(cache.rglob("*.incomplete"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_other_content_of_the_right_size_is_refused_and_removed(hub, cache, name):
    hub.contents[name] = FILES[name][:-1] + b"!"
    with pytest.raises(GemletError, match=rf"{ID}: {name}: the downloaded file has hash .* It was deleted"):
        open_checkpoint(ID)
    assert not list(cache.rglob(name)) and not list(cache.rglob("*.incomplete"))
    hub.contents.clear()
    loaded()


def test_a_file_that_is_shorter_than_listed_is_never_taken_for_whole(hub, cache):
    hub.contents["model.safetensors"] = FILES["model.safetensors"][:-100]
    with pytest.raises(GemletError, match=rf"{ID}: model\.safetensors: the download broke off at {LARGE - 100} of {LARGE} bytes"):
        open_checkpoint(ID)
    assert not list(cache.rglob("model.safetensors"))
    hub.contents.clear()
    loaded()


def test_a_safetensors_file_that_is_truncated_on_the_hub_itself_is_refused(hub):
    hub.files["model.safetensors"] = FILES["model.safetensors"][:-100]
    with pytest.raises(GemletError, match=r"model\.safetensors: tensor model\.embed_tokens\.weight: .* truncated"):
        open_checkpoint(ID)


def test_a_private_model_opens_with_the_token_only_which_stays_with_the_hub(hub, monkeypatch):
    hub.token = "hf_secret"
    with pytest.raises(GemletError, match=rf"{ID}: no such model on the hub, or a private one \(status 401\).*set HF_TOKEN"):
        open_checkpoint(ID)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    loaded()
    sent = {path: authorization for _, path, _, authorization in hub.requests}
    assert sent[f"/{ID}/resolve/{COMMIT}/model.safetensors"] == "Bearer hf_secret"
    assert sent["/store/model.safetensors"] is None


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((404, "RepoNotFound"), r"no such model on the hub, or a private one \(status 404\)"),
        ((403, "GatedRepo"), "the hub wants its terms accepted first"),
        ((403, ""), "the hub answered with an error: .*403"),
    ],
)
def test_a_refusal_names_the_model_and_the_reason(hub, refusal, message):
    hub.refusal = refusal
    with pytest.raises(GemletError, match=f"{ID}: {message}"):
        open_checkpoint(ID)


def test_an_unknown_revision_is_named(hub):
    with pytest.raises(GemletError, match=f"{ID} at revision v9: the model has no such revision"):
        open_checkpoint(f"{ID}@v9")


def test_the_cache_answers_where_the_hub_is_out_of_reach(hub, monkeypatch):
    loaded()
    point_to(monkeypatch, "http://127.0.0.1:9")  # the discard port: nothing listens
    checkpoint = loaded()
    assert (checkpoint.hub_id, checkpoint.revision) == (ID, COMMIT)


def test_the_cache_answers_where_the_hub_is_down(hub):
    loaded()
    hub.refusal = (503, "")
    loaded()


def test_a_hub_out_of_reach_without_a_cached_copy_says_so(cache, monkeypatch):
    point_to(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(GemletError, match=f"{ID}: the hub cannot be reached and the local cache does not hold the model"):
        open_checkpoint(ID)


OPEN = """
import sys
from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
try:
    print(open_checkpoint(sys.argv[1]).revision)
except GemletError as error:
    print(error)
"""


def test_the_environment_says_which_hub_cache_token_and_whether_to_go_online(tmp_path):
    """In processes of their own: the library reads the environment once."""

    def opened(**environment):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        result = subprocess.run([sys.executable, "-c", OPEN, ID], cwd=PROJECT, env=clean | environment, capture_output=True, text=True)
        return result.stdout.strip() or result.stderr

    with serving_hub(dict(FILES)) as server:
        server.token = "hf_secret"
        home = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path)}
        assert "the local cache does not hold the model" in opened(**home, HF_HUB_OFFLINE="1")
        assert not server.requests
        assert opened(**home, HF_TOKEN="hf_secret") == COMMIT
        server.requests.clear()
        assert opened(**home, HF_HUB_OFFLINE="1") == COMMIT
        assert not server.requests
    assert (tmp_path / "hub" / "models--owner--tiny-gemma" / "blobs" / sha256(FILES["model.safetensors"])).is_file()


def test_what_is_neither_a_path_nor_a_name_on_the_hub_asks_no_hub(hub):
    for name in ("tiny-gemma", "some/deeper/path", "owner/name@", "owner/name:"):
        with pytest.raises(GemletError, match=f"{name}: no such file or folder"):
            open_checkpoint(name)
    assert not hub.requests
