"""Shards hold every buffer's bytes where the manifest's pieces say, under names that carry their hash."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from compiler.emit.shards import ShardWriter


def content(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def read_back(folder, shards, pieces, size: int) -> bytes:
    """The buffer as a loader puts it together."""
    buffer = bytearray(size)
    filled = 0
    for shard, offset, count, place in pieces:
        data = (folder / shards[shard]["file"]).read_bytes()
        assert offset + count <= len(data)
        buffer[place : place + count] = data[offset : offset + count]
        filled += count
    assert filled == size
    return bytes(buffer)


def test_every_buffer_reads_back_whatever_its_size_and_chunks(tmp_path):
    buffers = {f"buffer {size}": content(size, size) for size in (4, 12, 16, 20, 64, 100, 128, 132, 700)}
    writer = ShardWriter(tmp_path, limit=128)
    for number, (name, data) in enumerate(buffers.items()):
        step = 1 + 7 * number  # chunks need no alignment
        writer.add(name, (data[start : start + step] for start in range(0, len(data), step)))
    shards, pieces = writer.finish()
    assert pieces.keys() == buffers.keys()
    for name, data in buffers.items():
        assert read_back(tmp_path, shards, pieces[name], len(data)) == data


def test_shards_are_full_but_the_last_and_their_entries_are_true(tmp_path):
    writer = ShardWriter(tmp_path, limit=64)
    writer.add("a", [content(200, 0)])
    shards, _ = writer.finish()
    assert [shard["bytes"] for shard in shards] == [64, 64, 64, 8]
    for shard in shards:
        data = (tmp_path / shard["file"]).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        assert (shard["bytes"], shard["sha256"], shard["file"]) == (len(data), digest, f"weights/{digest[:16]}.bin")
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == sorted(
        shard["file"].removeprefix("weights/") for shard in shards
    )


def test_buffers_start_aligned_and_span_shards_in_whole_words(tmp_path):
    writer = ShardWriter(tmp_path, limit=64)
    for name, size in (("a", 20), ("b", 60), ("c", 4)):
        writer.add(name, [content(size, size)])
    _, pieces = writer.finish()
    assert pieces == {"a": [[0, 0, 20, 0]], "b": [[0, 32, 32, 0], [1, 0, 28, 32]], "c": [[1, 32, 4, 0]]}


def test_a_buffer_that_starts_at_a_full_shard_starts_the_next(tmp_path):
    writer = ShardWriter(tmp_path, limit=64)
    writer.add("a", [content(64, 0)])
    writer.add("b", [content(8, 1)])
    _, pieces = writer.finish()
    assert pieces == {"a": [[0, 0, 64, 0]], "b": [[1, 0, 8, 0]]}


def test_equal_shards_are_written_and_listed_once(tmp_path):
    writer = ShardWriter(tmp_path, limit=64)
    writer.add("zeros", [bytes(64 * 3)])
    writer.add("other", [content(64, 0)])
    writer.add("zeros again", [bytes(64)])
    shards, pieces = writer.finish()
    assert len(shards) == 2 == len(list((tmp_path / "weights").iterdir()))
    assert pieces == {
        "zeros": [[0, 0, 64, 0], [0, 0, 64, 64], [0, 0, 64, 128]],
        "other": [[1, 0, 64, 0]],
        "zeros again": [[0, 0, 64, 0]],
    }


def test_the_same_buffers_give_the_same_shards_however_they_are_cut(tmp_path):
    results = []
    for folder, step in ((tmp_path / "one", 7), (tmp_path / "two", 1000)):
        writer = ShardWriter(folder, limit=64)
        for seed in range(5):
            data = content(52, seed)
            writer.add(f"buffer {seed}", (data[start : start + step] for start in range(0, len(data), step)))
        manifest = writer.finish()
        results.append((manifest, {path.name: path.read_bytes() for path in (folder / "weights").iterdir()}))
    assert results[0] == results[1]


def test_arrays_of_any_type_are_taken_as_their_bytes(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    writer = ShardWriter(tmp_path)
    writer.add("vector", [values])
    shards, pieces = writer.finish()
    assert read_back(tmp_path, shards, pieces["vector"], 24) == values.tobytes()


@pytest.mark.parametrize("size", [0, 3, 6])
def test_a_size_that_webgpu_cannot_write_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"buffer a has {size} bytes; expected a multiple of 4, not 0"):
        ShardWriter(tmp_path).add("a", [bytes(size)])


def test_a_buffer_is_added_once(tmp_path):
    writer = ShardWriter(tmp_path)
    writer.add("a", [bytes(4)])
    with pytest.raises(ValueError, match="buffer a was added twice"):
        writer.add("a", [bytes(4)])


def test_memory_holds_one_shard_and_not_the_buffer(tmp_path):
    block = bytes(1 << 20)
    writer = ShardWriter(tmp_path, limit=4 << 20)
    tracemalloc.start()
    writer.add("large", (block for _ in range(64)))
    writer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The shard, and what the growing bytearray copies and reserves: up to twice more.
    assert peak < 3 * (4 << 20)
