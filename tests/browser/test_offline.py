"""The page without a network, as an installed app, and what it asks of which host."""
import json
import re
import shutil

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from compiler.serve import serving
from tests.fixtures.page_answers import PATIENCE, ask_for_five_tokens, wait_until_ready
from tests.fixtures.wasm_models import MODEL

KEPT = "async () => (await (await caches.open(`gemlet ${location.href}`)).keys()).map(({ url }) => url.slice(location.href.length))"


@pytest.fixture
def context(browser):
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def open_page(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    wait_until_ready(page)
    return page


def test_the_page_opens_and_answers_after_its_server_has_gone(context, wasm_site):
    with serving(wasm_site) as address:
        page = open_page(context, address)
        # The copies are made beside the answers.
        page.wait_for_function(f"({KEPT})().then((files) => files.includes('models/{MODEL}/tokenizer.json'))")
        kept = page.evaluate(KEPT)
    # The browser's own cache might have all as well, but nobody can count on it.
    context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.reload()
    expect(page.get_by_role("heading", name="gemlet")).to_be_visible()
    expect(page.locator("header select")).to_have_value(MODEL)
    assert page.evaluate("crossOriginIsolated")  # the headers are kept with the files
    wait_until_ready(page)
    ask_for_five_tokens(page)
    texts = {f"models/{MODEL}/{file}" for file in ("model.json", "tokenizer.json", "chat_template.jinja", "wasm/int16-relaxed-threads.wasm", "wasm/int16-threads.wasm")}
    built = {path.relative_to(wasm_site).as_posix() for path in (wasm_site / "assets").iterdir()}
    # What knows grammars is as large as all else, and no part of the page.
    grammar = {file for file in built if "grammar" in file}
    assert len(grammar) == 1 and grammar.isdisjoint(kept)
    built -= grammar
    assert texts | built | {"", "models/index.json", "manifest.webmanifest"} <= set(kept)
    assert not any("/weights/" in file for file in kept)


def test_a_new_build_is_shown_at_once_and_its_old_assets_are_dropped(context, wasm_site, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(wasm_site, site)
    with serving(site) as address:
        page = open_page(context, address)
        old = next(file for file in page.evaluate(KEPT) if re.match(r"assets/index-.*\.js", file))
        new = "assets/index-newbuild.js"
        (site / new).write_text((site / old).read_text())
        for file in ("index.html", "service-worker.js"):
            (site / file).write_text((site / file).read_text().replace(old, new).replace("<title>gemlet", "<title>new gemlet"))
        page.reload()
        expect(page).to_have_title("new gemlet")
        # The new worker takes over when no page of the old one is left.
        page.evaluate("navigator.serviceWorker.ready.then((registration) => registration.update())")
        page.goto("about:blank")
        page = open_page(context, address)
        page.wait_for_function(f"({KEPT})().then((files) => files.includes('{new}') && !files.includes('{old}'))")


def test_what_a_portal_sends_in_place_of_a_file_is_not_kept_and_the_next_visit_tries_again(context, wasm_site, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(wasm_site, site)
    [script] = (site / "assets").glob("worker-*.js")
    right = script.read_bytes()
    for file in site.glob(f"assets/{script.name}*"):
        file.unlink()  # also the compressed copies
    script.write_text("<!doctype html><title>Please log in</title>")
    with serving(site) as address:
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text("worker failed")
        assert page.evaluate("async () => [await navigator.serviceWorker.getRegistration() ?? null, (await caches.keys()).filter((name) => name.startsWith('gemlet '))]") == [None, []]
        script.write_bytes(right)
        page.reload()
        wait_until_ready(page)
        assert script.name in {file.removeprefix("assets/") for file in page.evaluate(KEPT)}


def test_the_page_can_be_installed(context, wasm_address, wasm_site):
    page = open_page(context, wasm_address)
    devtools = context.new_cdp_session(page)
    found = devtools.send("Page.getAppManifest")
    assert found["errors"] == []
    assert json.loads(found["data"])["name"] == "gemlet"
    errors = {error["errorId"] for error in devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]}
    assert errors <= {"in-incognito"}  # as all contexts of Playwright's are
    for icon in json.loads(found["data"])["icons"]:
        width = int.from_bytes((wasm_site / icon["src"]).read_bytes()[16:20], "big")  # of the PNG's header
        assert icon["sizes"] == f"{width}x{width}"


def test_the_page_asks_no_other_host_for_anything(context, wasm_address):
    """From the first byte to an answer, a second model load and an error; in the page, its workers and its service worker."""
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page = open_page(context, wasm_address)
    ask_for_five_tokens(page, "![a picture](https://example.org/a.png) <img src=https://example.org/b.png>")
    page.reload()
    wait_until_ready(page)
    page.goto(wasm_address + "?model=missing")
    expect(page.get_by_role("alert")).to_contain_text("There is no model")
    assert any("/weights/" in url for url in asked) and wasm_address + "service-worker.js" in asked
    assert [url for url in asked if not url.startswith((wasm_address, f"blob:{wasm_address}"))] == []
