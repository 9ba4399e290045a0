"""Per-layer embeddings in every place: in GPU memory, there in parts, and in the browser's own files. The answers are the same bits."""
from functools import partial

import numpy as np
import pytest

from compiler import package
from compiler.serve import serving
from tests.fixtures.gemma4_checkpoints import VOCABULARY
from tests.fixtures.sites import EnginePage, add_model, add_page, add_trimmed, manifest_of
from tests.fixtures.stored_models import KEPT
from tests.fixtures.worker_hook import hook_workers

MODEL = "tables"
SHARD_BYTES = 10_000 // 16 * 16  # no row has a size that divides it
PROMPTS = {length: [2, *map(int, np.random.default_rng(5).integers(7, VOCABULARY, length - 1))] for length in (1, 20, 77)}
TOKENS = 32
SMALL_BINDING = 6400  # less than a third of the table

COUNT = """
globalThis.created = [];
globalThis.dispatches = 0;
const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (descriptor) { created.push([descriptor.label, descriptor.size]); return createBuffer.call(this, descriptor); };
const { dispatchWorkgroups } = GPUComputePassEncoder.prototype;
GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...grid) { dispatches++; dispatchWorkgroups.apply(this, grid); };
"""
SMALL_LIMITS = COUNT + f"""
const {{ requestDevice }} = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {{
  const device = await requestDevice.call(this, descriptor);
  Object.defineProperty(device, "limits", {{ value: {{ maxStorageBufferBindingSize: {SMALL_BINDING}, maxBufferSize: {SMALL_BINDING} }} }});
  return device;
}};
"""
# A size that no GPU has: the browser refuses the buffer as it does one that is larger than its memory.
NO_ROOM = """
const original = GPUDevice.prototype.createBuffer;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const isTable = descriptor.label === "embed_tokens_per_layer.weight.data" && descriptor.size === TABLE_BYTES;
  return original.call(this, isTable ? { ...descriptor, size: 2 ** 50 } : descriptor);
};
""" + COUNT
NO_FILES = "delete FileSystemFileHandle.prototype.createSyncAccessHandle;"


class Tab:
    """An engine in a tab, with what its answers were and what it took to give them."""

    def __init__(self, context, address: str, hook: str, **options):
        self.engine = EnginePage(context, address)
        hook_workers(self.engine.page, hook)
        self.requests: list[str] = []
        self.engine.page.on("request", lambda request: self.requests.append(request.url))
        self.info = self.engine.load(MODEL, **options)["backend"]["per_layer_embeddings"]
        # Not what brings results to the CPU: the first load alone computes the known answer.
        self.created = {label: size for label, size in self.worker("created") if not label.endswith("read-back")}

    def worker(self, expression: str):
        return self.engine.page.workers[-1].evaluate(expression)

    def answers(self) -> list:
        """Logits of prompts in a chunk of each size; greedy and sampled tokens."""
        return [*(self.engine.logits(prompt) for prompt in PROMPTS.values()),
                self.engine.tokens(PROMPTS[20], TOKENS), self.engine.tokens(PROMPTS[20], TOKENS, temperature=1.2, seed=9)]

    def launches(self, count: int) -> int:
        """Launches that an answer of `count` tokens takes."""
        before = self.worker("dispatches")
        self.engine.tokens(PROMPTS[20], count)
        return self.worker("dispatches") - before

    def shards_asked(self) -> set[str]:
        return {url.rpartition("/")[2].removesuffix(".bin") for url in self.requests if "/weights/" in url}


@pytest.fixture(scope="module")
def folder(checkpoints, tmp_path_factory):
    site = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "ShardWriter", partial(package.ShardWriter, limit=SHARD_BYTES))
        folder = add_model(site, checkpoints("ple"), MODEL, "q8")
    add_page(site)
    return folder


@pytest.fixture(scope="module")
def manifest(folder) -> dict:
    return manifest_of(folder)


@pytest.fixture(scope="module")
def address(folder):
    with serving(folder.parents[1]) as url:
        yield url


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture(scope="module")
def whole(context, address):
    return Tab(context, address, COUNT)


@pytest.fixture(scope="module")
def expected(whole):
    """What a table in one part gives. That this is right is tested against transformers, in test_random_checkpoints.py."""
    return whole.answers()


@pytest.fixture(scope="module")
def parts(context, address):
    return Tab(context, address, SMALL_LIMITS)


@pytest.fixture(scope="module")
def stored(context, address, manifest, whole):
    """The first load with the table in storage, on a GPU without room for it; another tab has downloaded all shards."""
    table = next(buffer for buffer in manifest["buffers"] if buffer["name"] == "embed_tokens_per_layer.weight.data")
    return Tab(context, address, NO_ROOM.replace("TABLE_BYTES", str(table["bytes"])))


@pytest.fixture(scope="module")
def stored_again(context, address, stored):
    """A second load, while the first tab has its files open."""
    return Tab(context, address, COUNT, perLayerEmbeddings="storage")


def shards_of_tables(manifest: dict) -> set[str]:
    """Hashes of the shards that hold rows of tables."""
    buffers = {buffer for table in manifest["tables"] for buffer in table["buffers"]}
    return {manifest["shards"][shard]["sha256"] for weight in manifest["weights"] if weight["buffer"] in buffers for shard, *_ in weight["pieces"]}


def test_the_checkpoint_has_rows_that_straddle_shards(manifest):
    assert len(manifest["tables"]) == 1
    for table in manifest["tables"]:
        row = manifest["buffers"][table["buffers"][0]]["bytes"] // table["rows"]
        (pieces,) = [weight["pieces"] for weight in manifest["weights"] if weight["buffer"] == table["buffers"][0]]
        assert len(pieces) > 2 and any(offset % row for *_, offset in pieces)


def test_the_place_and_its_reason_are_told(whole, stored, stored_again):
    assert whole.info == {"place": "gpu", "reason": "the GPU has room for them"}
    assert stored.info["place"] == "storage" and "the GPU did not give the " in stored.info["reason"]
    assert stored_again.info == {"place": "storage", "reason": "asked for"}


@pytest.mark.parametrize("place", ["parts", "stored", "stored_again"])
def test_logits_and_tokens_are_the_same_bits_in_every_place(place, expected, request):
    assert request.getfixturevalue(place).answers() == expected


def test_a_table_in_storage_takes_as_many_launches_and_each_part_one_more(whole, parts, stored, stored_again, manifest):
    prompt, tail, sample, decode = (len(manifest["steps"][step]) for step in ("prefill_64", "tail", "sample", "decode"))
    count = 5
    assert whole.launches(count) == prompt + tail + sample + (count - 1) * decode
    assert stored.launches(count) == stored_again.launches(count) == whole.launches(count)
    more = 0
    for table in manifest["tables"]:
        widest = max(manifest["buffers"][index]["bytes"] // table["rows"] for index in table["buffers"])
        more += -(-table["rows"] // (SMALL_BINDING // widest)) - 1
    assert more > 2
    assert parts.launches(count) == whole.launches(count) + count * more


def test_with_storage_no_buffer_has_the_size_of_the_table(whole, stored_again, manifest):
    chunk, names = max(manifest["prefill"]), {buffer["name"]: buffer for buffer in manifest["buffers"]}
    state = manifest["buffers"][manifest["state"]["buffer"]]["bytes"]
    saved = 0
    for table in manifest["tables"]:
        for name in (manifest["buffers"][index]["name"] for index in table["buffers"]):
            assert whole.created[name] == names[name]["bytes"]
            assert stored_again.created[name] == names[name]["bytes"] // table["rows"] * chunk < names[name]["bytes"]
            saved += whole.created[name] - stored_again.created[name]
        saved -= state
    assert sum(whole.created.values()) - sum(stored_again.created.values()) == saved


def test_every_shard_is_downloaded_once_wherever_the_table_lies_and_kept_under_its_hash(whole, stored, stored_again, manifest):
    assert whole.shards_asked() == {shard["sha256"][:16] for shard in manifest["shards"]}
    assert stored.shards_asked() == stored_again.shards_asked() == set()
    assert stored.engine.page.evaluate(KEPT) == hashes(manifest)


def hashes(manifest: dict) -> list[str]:
    return sorted({shard["sha256"] for shard in manifest["shards"]})


@pytest.fixture(scope="module")
def trimmed(folder):
    return add_trimmed(folder)


def failure_of(page: EnginePage, options: str) -> dict:
    return page.failure(f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/trimmed/', {options}))")


@pytest.mark.parametrize(("answer", "code"), [(lambda route: route.fulfill(body=bytes(SHARD_BYTES)), "bad-artifact"), (lambda route: route.abort(), "network")],
                         ids=["damaged", "interrupted"])
def test_a_shard_that_does_not_come_whole_is_not_kept_and_comes_with_the_next_load(engine, trimmed, manifest, answer, code):
    sha256 = next(shard["sha256"] for shard in manifest["shards"] if shard["sha256"] in shards_of_tables(manifest) and shard["bytes"] == SHARD_BYTES)
    pattern = f"**/{sha256[:16]}.bin"
    engine.page.route(pattern, answer)
    failure = failure_of(engine, "{ perLayerEmbeddings: 'storage' }")
    assert failure["code"] == code and f"{sha256[:16]}.bin" in failure["message"]
    assert sha256 not in engine.page.evaluate(KEPT)
    engine.page.unroute(pattern)
    assert engine.load("trimmed", perLayerEmbeddings="storage")["backend"]["per_layer_embeddings"]["place"] == "storage"
    assert engine.page.evaluate(KEPT) == hashes(manifest)


def test_storage_is_refused_before_any_download_where_there_is_none(engine, trimmed):
    asked: list[str] = []
    engine.page.on("request", lambda request: asked.append(request.url))
    hook_workers(engine.page, NO_FILES)
    failure = failure_of(engine, "{ perLayerEmbeddings: 'storage' }")
    assert failure["code"] == "storage" and "OPFS" in failure["message"]
    assert not [url for url in asked if "/weights/" in url]
    # By itself the engine takes GPU memory then.
    assert engine.load("trimmed")["backend"]["per_layer_embeddings"]["place"] == "gpu"


def test_a_full_storage_says_how_much_is_needed(engine, trimmed, address):
    engine.page.context.new_cdp_session(engine.page).send("Storage.overrideQuotaForOrigin", {"origin": address.rstrip("/"), "quotaSize": 20_000})
    failure = failure_of(engine, "{ perLayerEmbeddings: 'storage' }")
    assert failure["code"] == "storage" and "per-layer embeddings take 1 MiB" in failure["message"]


def test_an_unknown_place_is_refused_by_name(engine, trimmed):
    failure = failure_of(engine, "{ perLayerEmbeddings: 'ram' }")
    assert failure["code"] == "bad-request" and failure["message"] == 'perLayerEmbeddings: expected "auto", "gpu" or "storage", found "ram"'
