"""Loading that survives: shards are kept in the browser, gone on with after an interruption, checked, shared by tabs, and freed only when somebody says so."""
import hashlib
import json
import shutil
from functools import partial

import pytest
from playwright.sync_api import expect

from compiler import package
from tests.fixtures.sites import EnginePage, add_model, add_page, manifest_of
from tests.fixtures.unsteady_host import PIECE, UnsteadyHost
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

SHARD_BYTES = 10 * PIECE
PROMPT = [2, *range(265, 285)]
OPTIONS = {"backend": "wasm", "threads": 1}
NO_FILES = "delete FileSystemFileHandle.prototype.createSyncAccessHandle;"
NO_CACHES = NO_FILES + "Object.defineProperty(globalThis, 'caches', { value: undefined });"
# Changes a byte of a file that the browser keeps, by its name.
DAMAGE = """async (name) => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("gemlet-shards");
  const stream = await (await folder.getFileHandle(name)).createWritable({ keepExistingData: true });
  await stream.write({ type: "write", position: 9, data: new Uint8Array([1, 2, 3, 4]) });
  await stream.close();
}"""
KEPT = """async () => {
  const names = [];
  const root = await navigator.storage.getDirectory();
  for await (const name of (await root.getDirectoryHandle("gemlet-shards", { create: true })).keys()) names.push(name);
  return names.sort();
}"""
START = """([folder, options]) => {
  globalThis.state = { loaded: 0, info: null, error: null };
  const onProgress = ({ phase, loaded }) => { if (phase === "weights") state.loaded = loaded; };
  import("./gemlet.js").then(({ Engine }) => Engine.load(folder, { ...options, onProgress })).then(
    (engine) => { globalThis.engine = engine; state.info = engine.info; }, (error) => { state.error = `${error}`; });
}"""
LIST = "import('./gemlet.js').then(({ Engine }) => Engine.models.list())"


@pytest.fixture(scope="module")
def site(checkpoints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "ShardWriter", partial(package.ShardWriter, limit=SHARD_BYTES))
        add_model(folder, checkpoints("plain"), MODEL, "f32", targets=("wasm",))
    add_page(folder)
    return folder


@pytest.fixture(scope="module")
def shards(site) -> list[dict]:
    shards = manifest_of(site / "models" / MODEL)["shards"]
    assert len(shards) > 3 and shards[0]["bytes"] == SHARD_BYTES
    return shards


@pytest.fixture(scope="module")
def total(shards) -> int:
    return sum(shard["bytes"] for shard in shards)


@pytest.fixture
def host(site):
    with UnsteadyHost(site).serving() as host:
        yield host


@pytest.fixture
def context(browser):
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def tab(context, host):
    return EnginePage(context, host.address)


def load(tab: EnginePage, model: str = MODEL, **options) -> dict:
    return tab.load(model, **OPTIONS, **options)["storage"]


def failure(tab: EnginePage, options: str = json.dumps(OPTIONS)) -> dict:
    return tab.failure(f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/{MODEL}/', {options}))")


def names(shards: list[dict]) -> list[str]:
    return sorted(shard["sha256"] for shard in shards)


def variant(site, name: str) -> tuple[str, dict]:
    """A copy of the model whose second shard is another; returns its name and that shard."""
    copy = shutil.copytree(site / "models" / MODEL, site / "models" / name, dirs_exist_ok=True)
    manifest = manifest_of(copy)
    shard = manifest["shards"][1]
    content = bytearray((copy / shard["file"]).read_bytes())
    content[0] ^= 1  # the last bit of a float32
    (copy / shard["file"]).unlink()
    sha256 = hashlib.sha256(content).hexdigest()
    shard |= {"sha256": sha256, "file": f"weights/{sha256[:16]}.bin"}
    (copy / shard["file"]).write_bytes(content)
    (copy / "model.json").write_text(json.dumps(manifest))
    return name, shard


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


def test_models_are_listed_and_deleted(tab, host, site, shards, total):
    name, changed = variant(site, "second")
    load(tab)
    load(tab, name)
    first, second = tab.page.evaluate(LIST)
    assert first["folder"] == f"{host.address}models/{MODEL}/" and second["folder"] == f"{host.address}models/{name}/"
    assert first["bytes"] == first["total_bytes"] == second["bytes"] == total and first["last_used"] < second["last_used"]
    assert tab.page.evaluate(KEPT) == sorted([*names(shards), changed["sha256"]])
    tab.page.evaluate(f"import('./gemlet.js').then(({{ Engine }}) => Engine.models.delete('models/{name}'))")
    assert tab.page.evaluate(KEPT) == names(shards)
    assert [model["folder"] for model in tab.page.evaluate(LIST)] == [first["folder"]]


def test_the_page_shows_what_is_kept_and_deletes_it(context, tab, host, total):
    page = tab.page
    for source in (f"{total / 1000:.0f} KB downloaded", f"{total / 1000:.0f} KB from this browser"):
        page.goto(f"{host.address}index.html")
        expect(page.get_by_role("status")).to_contain_text("Ready", timeout=60_000)
        expect(page.get_by_text(source, exact=True)).to_be_visible()
    delete = page.locator("gemlet-stored-models").get_by_role("button", name="Delete")
    expect(delete).to_have_count(1)
    delete.click()
    expect(delete).to_have_count(0)
    assert page.evaluate(KEPT) == []


LOAD_ASKING = """([folder, options, answer]) => import("./gemlet.js").then(async ({ Engine }) => {
  const asked = [];
  const onStorageFull = (full) => {
    asked.push(full);
    if (answer === "throw") throw new Error("no answer");
    return full.candidates.slice(0, answer).map(({ folder }) => folder);
  };
  const engine = await Engine.load(folder, { ...options, onStorageFull });
  const { storage } = engine.info;
  await engine.unload();
  return { asked, storage };
})"""
UNLOAD = "engine.unload().then(() => { globalThis.engine = undefined; })"


def fill_storage(tab: EnginePage, host: UnsteadyHost) -> None:
    """Leaves room for half a shard. Chrome's estimate() does not show that: it promises 10 GiB more than there are."""
    usage = tab.page.evaluate("navigator.storage.estimate().then(({ usage }) => usage)")
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": host.address.rstrip("/"), "quotaSize": usage + SHARD_BYTES // 2})


def say_full(tab: EnginePage, _) -> None:
    """The browser says beforehand that there is no room; once something is deleted, there is."""
    hook_workers(tab.page, f"""
        const {{ estimate }} = StorageManager.prototype;
        let used;
        StorageManager.prototype.estimate = async function () {{
          const {{ usage }} = await estimate.call(this);
          used ??= usage;
          return {{ usage, quota: used + {SHARD_BYTES // 2} }};
        }};""")


@pytest.mark.parametrize(("fill", "free"), [(say_full, SHARD_BYTES // 2), (fill_storage, 0)], ids=["told before", "found out"])
def test_where_there_is_too_little_room_other_models_go_only_if_the_page_says_so(tab, host, site, fill, free):
    name, _ = variant(site, "first")
    load(tab, name)
    tab.page.evaluate(UNLOAD)
    fill(tab, host)
    before = tab.page.evaluate(KEPT)

    storage = load(tab)  # nobody to ask: it is loaded, and not kept
    assert "the browser's storage" in storage["note"] and storage["network_bytes"] == SHARD_BYTES
    tab.page.evaluate(UNLOAD)
    assert tab.page.evaluate(KEPT) == before

    refused = tab.page.evaluate(LOAD_ASKING, [f"models/{MODEL}/", OPTIONS, 0])
    (full,) = refused["asked"]
    assert (full["needed"], full["free"]) == (SHARD_BYTES, free)
    assert [model["folder"] for model in full["candidates"]] == [f"{host.address}models/{name}/"]
    assert refused["storage"]["note"] and tab.page.evaluate(KEPT) == before

    arguments = json.dumps([f"models/{MODEL}/", OPTIONS, "throw"])
    assert tab.page.evaluate(f"({LOAD_ASKING})({arguments}).catch(({{ message }}) => message)") == "no answer"

    assert tab.page.evaluate(LOAD_ASKING, [f"models/{MODEL}/", OPTIONS, 1])["storage"]["note"] is None
    assert [model["folder"] for model in tab.page.evaluate(LIST)] == [f"{host.address}models/{MODEL}/"]
    assert len(tab.page.evaluate(KEPT)) == len(before)
