"""What the browser keeps of models: it is listed, deleted, and makes room for others only when somebody says so."""
import json

import pytest
from playwright.sync_api import expect

from tests.fixtures.sites import EnginePage
from tests.fixtures.stored_models import KEPT, LIST, OPTIONS, SHARD_BYTES, load, names, variant
from tests.fixtures.stored_models import context, host, shards, site, tab, total  # noqa: F401  (fixtures)
from tests.fixtures.unsteady_host import UnsteadyHost
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

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
