"""GGUF models of the hub: the only one of a repository opens by its id, one of several by its file's name."""

import numpy as np
import pytest
from huggingface_hub import constants

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from tests.fixtures.gguf_files import gemma3_tensors, write_gguf
from tests.fixtures.hub_models import FILES, ID, cache, hub, loaded  # noqa: F401  (two are fixtures)
from tests.fixtures.hub_server import COMMIT


@pytest.fixture
def ggufs(tmp_path):
    """Content of GGUF files by name: one whole model, and another split in three."""
    folder = tmp_path / "gguf"
    folder.mkdir()
    write_gguf(folder / "tiny.gguf", gemma3_tensors())
    write_gguf(folder / "parts", gemma3_tensors(seed=1), parts_of=10)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def norm(checkpoint) -> np.ndarray:
    return checkpoint.tensors["model.norm.weight"].values()


def test_the_only_gguf_model_of_a_repository_is_opened_by_its_id(hub, ggufs):
    hub.files = {"README.md": b"", "config.json": b"{}", "mmproj-tiny.gguf": b"images", "tiny.gguf": ggufs["tiny.gguf"]}
    checkpoint = open_checkpoint(ID)
    assert (checkpoint.path.name, checkpoint.hub_id, checkpoint.revision) == ("tiny.gguf", ID, COMMIT)
    np.testing.assert_array_equal(norm(checkpoint), gemma3_tensors()["output_norm.weight"])
    assert not any("mmproj" in path for _, path, _, _ in hub.requests)


def test_all_parts_of_a_split_model_are_fetched_whichever_is_named(hub, ggufs):
    hub.files = {f"parts/{name}" if name != "tiny.gguf" else name: content for name, content in ggufs.items()}
    checkpoint = open_checkpoint(f"{ID}@other:parts/parts-00002-of-00003.gguf")
    np.testing.assert_array_equal(norm(checkpoint), gemma3_tensors(seed=1)["output_norm.weight"])
    assert not any("tiny.gguf" in path for _, path, _, _ in hub.requests)
    del hub.files["tiny.gguf"]
    assert open_checkpoint(ID).tensors.keys() == checkpoint.tensors.keys()


def test_one_of_several_gguf_models_is_picked_by_name_also_without_the_hub(hub, ggufs, monkeypatch):
    hub.files = {"q4/tiny.gguf": ggufs["tiny.gguf"], "q8.gguf": ggufs["tiny.gguf"], **FILES}
    assert open_checkpoint(f"{ID}:q4/tiny.gguf").path.name == "tiny.gguf"
    assert loaded().gguf_fields == {}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_checkpoint(f"{ID}:q4/tiny.gguf").revision == COMMIT
    with pytest.raises(GemletError, match=rf"{ID} in the local cache: there is no GGUF model q8\.gguf; found q4/tiny\.gguf"):
        open_checkpoint(f"{ID}:q8.gguf")


def test_several_gguf_models_are_listed_where_none_is_picked(hub, ggufs):
    hub.files = ggufs
    with pytest.raises(GemletError, match=rf"{ID}: holds 2 GGUF models; name one of them:\n  {ID}:parts-00001-of-00003\.gguf\n  {ID}:tiny"):
        open_checkpoint(ID)
    with pytest.raises(GemletError, match=rf"{ID}: there is no GGUF model q5\.gguf; found parts-00001-of-00003\.gguf, tiny\.gguf"):
        open_checkpoint(f"{ID}:q5.gguf")


def test_a_repository_without_weights_says_so(hub):
    hub.files = {"config.json": FILES["config.json"], "pytorch_model.bin": b"pickled"}
    with pytest.raises(GemletError, match=f"{ID}: holds neither config.json with safetensors nor a GGUF model"):
        open_checkpoint(ID)


def test_a_folder_with_a_model_and_its_image_part_opens_the_model(tmp_path, ggufs):
    (tmp_path / "gguf" / "mmproj-tiny.gguf").write_bytes(b"images")
    for name in ggufs:
        if name != "tiny.gguf":
            (tmp_path / "gguf" / name).unlink()
    assert open_checkpoint(tmp_path / "gguf").path.name == "tiny.gguf"
