"""Loading that survives: shards are kept in the browser, gone on with after an interruption, checked, and shared by tabs."""
import json
import shutil

import pytest

from tests.fixtures.sites import EnginePage
from tests.fixtures.stored_models import KEPT, LIST, OPTIONS, load, names, variant
from tests.fixtures.stored_models import context, host, shards, site, tab, total  # noqa: F401  (fixtures)
from tests.fixtures.unsteady_host import PIECE
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

PROMPT = [2, *range(265, 285)]
NO_FILES = "delete FileSystemFileHandle.prototype.createSyncAccessHandle;"
NO_CACHES = NO_FILES + "Object.defineProperty(globalThis, 'caches', { value: undefined });"
# Changes a byte of a file that the browser keeps, by its name.
DAMAGE = """async (name) => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("gemlet-shards");
  const stream = await (await folder.getFileHandle(name)).createWritable({ keepExistingData: true });
  await stream.write({ type: "write", position: 9, data: new Uint8Array([1, 2, 3, 4]) });
  await stream.close();
}"""
START = """([folder, options]) => {
  globalThis.state = { loaded: 0, info: null, error: null };
  const onProgress = ({ phase, loaded }) => { if (phase === "weights") state.loaded = loaded; };
  import("./gemlet.js").then(({ Engine }) => Engine.load(folder, { ...options, onProgress })).then(
    (engine) => { globalThis.engine = engine; state.info = engine.info; }, (error) => { state.error = `${error}`; });
}"""


def failure(tab: EnginePage, options: str = json.dumps(OPTIONS)) -> dict:
    return tab.failure(f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/{MODEL}/', {options}))")


def test_a_model_is_downloaded_once_and_gives_the_same_tokens_from_the_store(tab, host, shards, total):
    assert load(tab) == {"place": "files", "network_bytes": total, "stored_bytes": 0, "persistent": False, "note": None}
    expected = tab.tokens(PROMPT, 16)
    assert host.sent == total and tab.page.evaluate(KEPT) == names(shards)
    tab.page.reload()
    host.forget()
    assert load(tab) == {"place": "files", "network_bytes": 0, "stored_bytes": total, "persistent": False, "note": None}
    assert tab.tokens(PROMPT, 16) == expected
    assert host.asked == []


def test_a_download_that_the_network_cuts_goes_on_inside_the_shard_after_a_reload(tab, host, shards, total):
    host.cut_after, host.pause = 3 * PIECE, 0.2
    assert failure(tab)["code"] == "network"
    assert [name for name in tab.page.evaluate(KEPT) if name.endswith(".part")]
    tab.page.reload()
    host.forget()
    storage = load(tab)
    resumed = [asked for asked in host.asked if asked.range]
    assert resumed and all(asked.if_range for asked in resumed)
    had = sum(int(asked.range.removeprefix("bytes=").removesuffix("-")) for asked in resumed)
    assert 2 * PIECE <= had <= 3 * PIECE * len(resumed)
    assert (storage["network_bytes"], storage["stored_bytes"]) == (host.sent, had) == (total - had, had)
    assert tab.page.evaluate(KEPT) == names(shards)


def test_a_host_without_ranges_sends_a_cut_shard_anew(tab, host, shards, total):
    host.cut_after, host.pause = 3 * PIECE, 0.2
    assert failure(tab)["code"] == "network"
    host.forget()
    host.knows_ranges = False
    assert load(tab)["network_bytes"] == total and host.sent == total
    assert [asked for asked in host.asked if asked.range]
    assert tab.page.evaluate(KEPT) == names(shards)


def test_a_tab_that_ends_in_the_midst_of_a_slow_download_leaves_it_to_another(context, tab, host, total):
    host.pause = 0.1
    tab.page.evaluate(START, [f"models/{MODEL}/", OPTIONS])
    tab.page.wait_for_function(f"state.loaded > {3 * PIECE}")
    waiting = EnginePage(context, host.address)
    waiting.page.evaluate(START, [f"models/{MODEL}/", OPTIONS])
    tab.close()
    host.pause = 0.0
    waiting.page.wait_for_function("state.info || state.error")
    storage = waiting.page.evaluate("state.error ?? state.info.storage")
    assert storage["stored_bytes"] >= 2 * PIECE and storage["network_bytes"] + storage["stored_bytes"] == total and storage["note"] is None
    assert [asked for asked in host.asked if asked.range]


def test_two_tabs_download_each_shard_once(context, tab, host, shards, total):
    host.pause = 0.01
    other = EnginePage(context, host.address)
    for each in (tab, other):
        each.page.evaluate(START, [f"models/{MODEL}/", OPTIONS])
    storages = []
    for each in (tab, other):
        each.page.wait_for_function("state.info || state.error")
        storages.append(each.page.evaluate("state.error ?? state.info.storage"))
    assert sorted(asked.name for asked in host.asked) == sorted(shard["file"].rpartition("/")[2] for shard in shards)
    assert sum(storage["network_bytes"] for storage in storages) == total
    assert tab.tokens(PROMPT, 8) == other.tokens(PROMPT, 8)


def test_a_shard_that_comes_damaged_is_fetched_once_more_and_then_reported(tab, host, shards, total):
    host.damages = 2 * len(shards)
    found = failure(tab)
    assert found["code"] == "bad-artifact" and "the shard is damaged: expected SHA-256" in found["message"]
    asked = [asked.name for asked in host.asked]
    assert max(map(asked.count, asked)) == 2
    assert not set(tab.page.evaluate(KEPT)) & set(names(shards))
    host.forget()
    host.damages = 1
    assert load(tab)["note"] is None
    assert tab.page.evaluate(KEPT) == names(shards)


def test_a_stored_shard_that_is_damaged_is_deleted_and_fetched_again(tab, host, shards, total):
    load(tab)
    expected = tab.tokens(PROMPT, 16)
    tab.page.reload()
    tab.page.evaluate(DAMAGE, shards[2]["sha256"])
    host.forget()
    storage = load(tab)
    assert [asked.name for asked in host.asked] == [shards[2]["file"].rpartition("/")[2]]
    assert (storage["network_bytes"], storage["stored_bytes"]) == (shards[2]["bytes"], total - shards[2]["bytes"])
    assert tab.tokens(PROMPT, 16) == expected


def test_a_new_version_downloads_what_changed_and_frees_what_went(tab, host, site, shards):
    name, changed = variant(site, "updated")
    load(tab, name)
    host.forget()
    # The same address, with the first version's content.
    shutil.rmtree(site / "models" / name)
    shutil.copytree(site / "models" / MODEL, site / "models" / name)
    load(tab, name)
    assert [asked.name for asked in host.asked] == [shards[1]["file"].rpartition("/")[2]]
    kept = tab.page.evaluate(KEPT)
    assert kept == names(shards) and changed["sha256"] not in kept


@pytest.mark.parametrize(("hook", "place"), [(NO_FILES, "cache"), (NO_CACHES, "none")])
def test_without_private_files_it_takes_the_cache_api_and_without_that_it_loads_each_time(tab, host, total, hook, place):
    for which in range(2):
        tab.page.reload()
        hook_workers(tab.page, hook)
        host.forget()
        storage = load(tab)
        stored = total if place == "cache" and which == 1 else 0
        assert (storage["place"], storage["stored_bytes"], storage["network_bytes"]) == (place, stored, total - stored)
        assert (storage["note"] is None) == (place == "cache")
        assert len(tab.tokens(PROMPT, 8)) == 8
    models = tab.page.evaluate(LIST)
    assert [model["bytes"] for model in models] == ([total] if place == "cache" else [])
