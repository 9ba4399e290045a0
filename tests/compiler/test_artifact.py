"""The artifact folder is what docs/artifact.md says, byte by byte, and the same inputs give the same bytes."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from compiler import package
from compiler.checkpoint import open_checkpoint
from compiler.package import compile_model
from compiler.pipeline import PASSES
from compiler.progress import SilentProgress
from compiler.setup.folders import PROJECT
from tests.fixtures.artifact_reader import ArtifactReader
from tests.fixtures.random_models import MODELS

# The matrices of a checkpoint that one matrix of ours holds, row after row.
PARTS = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "qk_proj": ("q_proj", "k_proj"), "gate_up_proj": ("gate_proj", "up_proj")}

# One model of each shape.
EACH_SHAPE = {shape: name for name, (shape, _) in MODELS.items()}
# Compiles models, from a copy of the checkpoints, in another process. Arguments: checkpoints, site, {name: (shape, quantization)}.
AGAIN = """
import json, sys
from pathlib import Path
from tests.fixtures.sites import add_model
for name, (shape, quant) in json.loads(sys.argv[3]).items():
    add_model(Path(sys.argv[2]), Path(sys.argv[1]) / shape, name, quant)
"""


@pytest.fixture(scope="module")
def compiled_again(random_models, checkpoints, tmp_path_factory):
    """Models of `random_models` made anew elsewhere, with another order of Python's hashes, by two processes at once."""
    root = tmp_path_factory.mktemp("again")
    for shape in EACH_SHAPE:
        shutil.copytree(checkpoints(shape), root / "checkpoints" / shape)
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(PROJECT), "TZ": "Pacific/Auckland"}
    names = list(EACH_SHAPE.values())
    halves = [json.dumps({name: MODELS[name] for name in half}) for half in (names[::2], names[1::2])]
    processes = [subprocess.Popen([sys.executable, "-c", AGAIN, root / "checkpoints", "relative", half], cwd=root, env=environment) for half in halves]
    assert [process.wait() for process in processes] == [0, 0]
    return root / "relative"


@pytest.fixture(params=MODELS)
def artifact(request, random_models) -> ArtifactReader:
    return ArtifactReader(random_models / "models" / request.param)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def source_matrices(checkpoint: Path, name: str) -> np.ndarray:
    """The checkpoint's float32 rows that the matrix `name` is made of."""
    tensors = load_file(checkpoint / "model.safetensors")
    *path, module, leaf = ["model", *name.split(".")] if name != "lm_head.weight" else ["lm_head", "weight"]
    values = np.concatenate([tensors[".".join([*path, part, leaf])] for part in PARTS.get(module, (module,))])
    return values.reshape(-1, values.shape[-1])  # experts lie one below the other


def rounding_bound(kind: str, source: np.ndarray) -> np.ndarray:
    """How far a stored value may be from the source's: half a step of its grid, where no better grid was possible.

    float16 keeps 11 bits (2^-25: half of its smallest step). The step of q8 is a 127th of its group's largest value, that of
    q4 an 8th, each rounded to float16. q4 has no +8: opposite to the largest value, what is beyond 7.5 steps becomes 7 steps
    and may be a whole step off, or by 7 roundings of the step more.
    """
    if kind == "f32":
        return np.zeros_like(source)
    if kind == "f16":
        return np.maximum(2.0**-11 * np.abs(source), 2.0**-25)
    rows, columns = source.shape
    groups = np.pad(source, ((0, 0), (0, -columns % 32))).reshape(rows, -1, 32)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=2)[:, :, None], axis=2)
    step = np.abs(largest) / (127 if kind == "q8" else 8) * (1 + 2.0**-10)
    clipped = (groups * np.sign(largest) < -7.5 / 8 * (1 - 2.0**-10) * np.abs(largest)) if kind == "q4" else np.zeros(groups.shape, bool)
    return np.where(clipped, step * (1 + 2.0**-8), step / 2).reshape(rows, -1)[:, :columns]


def test_the_documented_formulas_give_the_checkpoints_matrices_back(artifact, checkpoints):
    shape, quant = MODELS[artifact.manifest["name"]]
    kind = "f32" if quant == "auto" else quant  # the checkpoints are float32
    names = [name.removesuffix(".data") for name in artifact.buffers if name.endswith(".data")]
    assert len(names) >= 13
    for name in names:
        source = source_matrices(checkpoints(shape), name)
        found = artifact.matrix(name, kind, *source.shape)
        assert (np.abs(found - source) <= rounding_bound(kind, source)).all(), name


def test_tables_are_the_embeddings_that_no_product_reads_and_their_part_is_the_whole(artifact):
    shape, _ = MODELS[artifact.manifest["name"]]
    names = [[artifact.manifest["buffers"][index]["name"].rpartition(".")[0] for index in table["buffers"]] for table in artifact.manifest["tables"]]
    per_layer, token = "embed_tokens_per_layer.weight", "embed_tokens.weight"
    expected = {"ple": [per_layer], "shared_kv": [per_layer], "two_kv_heads": [token, per_layer]}.get(shape, [])
    assert [name for (name,) in map(set, names)] == expected
    for table, name in zip(artifact.manifest["tables"], expected):
        part = artifact.manifest["buffers"][table["part"]]["name"]
        assert part == f"{name}.part" and np.frombuffer(artifact.buffer(part), "<i4").tolist() == [0, 320, 320] and table["rows"] == 320


def test_vectors_are_plain_floats_and_gemma_3s_norms_have_their_one(artifact, checkpoints):
    shape, _ = MODELS[artifact.manifest["name"]]
    tensors = load_file(checkpoints(shape) / "model.safetensors")
    added = np.float32(1 if shape == "gemma3" else 0)
    vectors = [name for name in artifact.buffers if f"model.{name}" in tensors]
    assert len(vectors) >= 19
    for name in vectors:
        np.testing.assert_array_equal(artifact.vector(name), tensors[f"model.{name}"].reshape(-1) + added)


def test_every_weight_buffer_is_filled_and_nothing_else(artifact):
    filled = [artifact.manifest["buffers"][weight["buffer"]] for weight in artifact.manifest["weights"]]
    assert sorted(buffer["name"] for buffer in filled) == sorted(
        name for name, buffer in artifact.buffers.items() if buffer["kind"] == "weight")
    for buffer in filled:
        artifact.buffer(buffer["name"])  # checks its pieces


def test_shards_are_named_after_their_content(artifact):
    for shard in artifact.manifest["shards"]:
        content = (artifact.folder / shard["file"]).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert shard == {"file": f"weights/{digest[:16]}.bin", "bytes": len(content), "sha256": digest}
        assert len(content) <= 32 << 20


def test_the_folder_holds_the_files_that_the_manifest_names_and_no_other(artifact):
    manifest = artifact.manifest
    named = ["model.json", manifest["tokenizer"]["file"], manifest["license"]["file"], *([manifest["chat_template"]] if manifest["chat"] else []),
             *(kernel["file"] for kernel in manifest["kernels"]), *(shard["file"] for shard in manifest["shards"])]
    assert sorted(named) == sorted(contents(artifact.folder))
    assert manifest["license"]["name"] and (artifact.folder / manifest["license"]["file"]).stat().st_size > 0


def test_launches_bind_what_their_shaders_declare(artifact):
    manifest = artifact.manifest
    written = {"cache", "state", "activation", "logits"}
    for step, launches in manifest["steps"].items():
        for launch in launches:
            kernel = manifest["kernels"][launch["kernel"]]
            text = (artifact.folder / kernel["file"]).read_text("utf-8")
            bindings = re.findall(r"@group\(0\) @binding\((\d+)\) var<storage, (\w+)>", text)
            assert [int(number) for number, _ in bindings] == list(range(len(launch["buffers"]))), f"{step}: {kernel['name']}"
            for (_, access), index in zip(bindings, launch["buffers"]):
                assert access == "read" or manifest["buffers"][index]["kind"] in written, f"{step}: {kernel['name']}"
            assert f"fn {kernel['entry']}(" in text
            assert "@workgroup_size({}, {}, {})".format(*kernel["workgroup"]) in text


def test_json_is_sorted_and_the_index_lists_every_model(random_models):
    for path in [random_models / "models" / "index.json", *(random_models / "models" / name / "model.json" for name in MODELS)]:
        text = path.read_text("utf-8")
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    index = json.loads((random_models / "models" / "index.json").read_text("utf-8"))
    assert index["schema"] == 1
    assert [entry["name"] for entry in index["models"]] == sorted(MODELS)
    for entry in index["models"]:
        manifest = ArtifactReader(random_models / "models" / entry["name"]).manifest
        assert entry == {"name": manifest["name"], "title": manifest["title"], "chat": manifest["chat"],
                         "bytes": sum(shard["bytes"] for shard in manifest["shards"])}


def test_the_same_checkpoint_gives_the_same_bytes_in_another_folder_process_and_time_zone(random_models, compiled_again):
    for name in EACH_SHAPE.values():
        first, second = contents(random_models / "models" / name), contents(compiled_again / "models" / name)
        assert first.keys() == second.keys()
        assert [file for file in first if first[file] != second[file]] == [], name


def test_no_file_holds_a_path_of_this_machine_or_a_date(artifact, checkpoints):
    shape, _ = MODELS[artifact.manifest["name"]]
    places = [str(path).encode() for path in (checkpoints(shape).parent, artifact.folder.parent, PROJECT, Path.home(), Path(sys.prefix))]
    for file, content in contents(artifact.folder).items():
        assert not [place for place in places if place in content], file
        if not file.endswith(".bin"):
            assert not re.search(rb"\b20\d\d-?[01]\d-?[0-3]\d\b", content), file


def test_buffers_that_span_shards_are_read_back_and_the_licence_of_the_checkpoint_ships(checkpoints, tmp_path, monkeypatch):
    checkpoint = shutil.copytree(checkpoints("plain"), tmp_path / "plain")
    (checkpoint / "LICENSE").write_text("Do what you like.\n")
    (checkpoint / "README.md").write_text("---\nlicense: other\nlicense_name: like-it\nlicense_link: https://example.org/like-it\n---\n")
    limit = 10_000 // 16 * 16  # no buffer size is a multiple of it, so that shards end within buffers
    monkeypatch.setattr(package, "ShardWriter", partial(package.ShardWriter, limit=limit))
    artifact = ArtifactReader(compile_model(open_checkpoint(checkpoint), tmp_path / "out", None, "f32", None, ("webgpu",), None, SilentProgress()))
    assert len(artifact.manifest["shards"]) > 10 and all(shard["bytes"] <= limit for shard in artifact.manifest["shards"])
    assert max(len(weight["pieces"]) for weight in artifact.manifest["weights"]) > 3
    for name in ("embed_tokens.weight", "layers.2.mlp.gate_up_proj.weight", "layers.1.self_attn.qkv_proj.weight"):
        source = source_matrices(checkpoint, name)
        np.testing.assert_array_equal(artifact.matrix(name, "f32", *source.shape), source)
    assert artifact.manifest["license"] == {"name": "like-it", "url": "https://example.org/like-it", "file": "LICENSE.txt"}
    assert (artifact.folder / "LICENSE.txt").read_text() == "Do what you like.\n"


def test_a_dump_shows_every_stage_and_leaves_the_artifact_as_it_is(random_models, checkpoints, tmp_path):
    dump = tmp_path / "not" / "there"
    folder = compile_model(open_checkpoint(checkpoints("plain")), tmp_path / "out", "plain-f32", "f32", None, ("webgpu",), dump, SilentProgress())
    assert contents(folder) == contents(random_models / "models" / "plain-f32")
    manifest = ArtifactReader(folder).manifest
    stages = ["0-model", *(f"{number}-{apply.__name__}" for number, apply in enumerate(PASSES, 1))]
    texts = {stage: (dump / f"{stage}.txt").read_text("utf-8") for stage in stages}
    assert all("def decode(" in text and "def prefill_16(" in text for text in texts.values())
    # The model has no experts.
    assert [after for before, after in zip(stages, stages[1:]) if texts[before] == texts[after]] == ["6-fuse_experts_input"]
    program = (dump / "program.txt").read_text("utf-8")
    for step, launches in manifest["steps"].items():
        assert f"step {step}: {len(launches)} launches\n" in program
    kernels = contents(dump / "kernels")
    assert len(kernels) == 2 * len(manifest["kernels"])
    for kernel in manifest["kernels"]:
        assert kernels[f"{kernel['name']}.wgsl"] == (folder / kernel["file"]).read_bytes()
        assert f"def {kernel['name']}(" in kernels[f"{kernel['name']}.tir.txt"].decode()
    assert sorted(path.name for path in dump.iterdir()) == sorted([*(f"{stage}.txt" for stage in stages), "program.txt", "kernels"])
