"""An index names files of its own folder, and no others."""

import json
from pathlib import Path

import pytest

from compiler.checkpoint import open_checkpoint
from compiler.errors import GemletError
from tests.fuzz import seeds

INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    for name, content in seeds.sharded().items():
        (place / name).write_bytes(content)
    return place


def point(folder: Path, name: object) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] = {tensor: name if file == FIRST else file for tensor, file in index["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("name", [f"../{FIRST}", f"x/../../{FIRST}", "/etc/passwd", f"/tmp/{FIRST}", "", ".", "..", "config.json", f"x\\{FIRST}", f"C:\\{FIRST}",
                                  "x" * 5000 + ".safetensors", "a\0b.safetensors", "\n.safetensors", None, 3, True, [FIRST], {"a": 1}])  # fmt: skip
def test_a_name_that_is_no_file_of_the_folder_is_refused(folder, name):
    (folder.parent / FIRST).write_bytes((folder / FIRST).read_bytes())
    point(folder, name)
    with pytest.raises(GemletError, match=rf"{INDEX}: weight_map\.\S+: expected the name of a safetensors file in this folder"):
        open_checkpoint(folder)


@pytest.mark.parametrize("link", ["shard", "folder above the shard"])
def test_a_link_out_of_the_folder_is_refused(folder, link):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / FIRST).rename(elsewhere / FIRST)
    if link == "shard":
        (folder / FIRST).symlink_to(elsewhere / FIRST)
    else:
        (folder / "x").symlink_to(elsewhere)
        point(folder, f"x/{FIRST}")
    with pytest.raises(GemletError, match=rf"{INDEX}: weight_map\.\S+: .*leads out of this folder, to {elsewhere / FIRST}"):
        open_checkpoint(folder)


def test_links_as_in_the_hubs_cache_are_followed(folder):
    """There each file of a snapshot is a link into one folder of blobs."""
    expected = set(open_checkpoint(folder).tensors)
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(Path("..") / "blobs" / str(number))
    assert set(open_checkpoint(folder).tensors) == expected


def test_shards_in_a_folder_below_are_read(folder):
    (folder / "x").mkdir()
    (folder / FIRST).rename(folder / "x" / FIRST)
    point(folder, f"x/{FIRST}")
    assert open_checkpoint(folder).tensors
