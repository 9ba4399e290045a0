"""axe-core looks at the page in each of its states, in both schemes and on two screens: no issue that it calls serious or critical."""
import json
import shutil

import pytest
from playwright.sync_api import Page, expect

from compiler.serve import serving
from compiler.setup.folders import WEB
from tests.fixtures.page_answers import PATIENCE, wait_until_ready
from tests.fixtures.sites import manifest_of
from tests.fixtures.wasm_models import MODEL

AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = [{"width": 1400, "height": 860}, {"width": 1024, "height": 768}, {"width": 320, "height": 640}]
ANSWER = """# A heading

A list, with `code` and a [link](https://example.org/):

- one
- two

| a | b |
| - | - |
| 1 | 2 |

> quoted

```js
const wide = "a line of code that is wider than a phone, so that it has to be scrolled to be read to its end";
```
"""
MESSAGES = [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "A question"},
    {"role": "assistant", "content": None, "reasoning_content": "I must look.",
     "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    {"role": "assistant", "content": ANSWER, "reasoning_content": "Now I know."},
]
FILE = {"format": "gemlet-conversations", "version": 1,
        "conversations": [{"id": name, "title": f"Conversation {name}", "changed": 1, "messages": MESSAGES} for name in ("a", "b")]}


@pytest.fixture(scope="module")
def address(wasm_site, tmp_path_factory):
    """A site with the random chat model, and with a copy of it that has no chat template, `base`."""
    site = tmp_path_factory.mktemp("accessibility") / "site"
    shutil.copytree(wasm_site, site)
    base = shutil.copytree(site / "models" / MODEL, site / "models" / "base")
    (base / "model.json").write_text(json.dumps(manifest_of(base) | {"name": "base", "chat": False, "chat_template": None}))
    index = json.loads((site / "models" / "index.json").read_text())
    index["models"].append(index["models"][0] | {"name": "base", "title": "A base model"})
    (site / "models" / "index.json").write_text(json.dumps(index))
    with serving(site) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser):
    # Without a service worker, so that the test can hold back what the page loads.
    # axe is an inline script, which the served policy forbids.
    context = browser.new_context(bypass_csp=True, service_workers="block")
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def issues(page: Page) -> list[str]:
    """What is wrong now, in both schemes."""
    found = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found |= {f"{scheme}: {issue}" for issue in page.evaluate("""async () => {
            const { violations } = await axe.run(document, { resultTypes: ["violations"] });
            const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
            return grave.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.flat().join(" ")}: ${failureSummary}`));
        }""")}
    return sorted(found)


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.evaluate(AXE.read_text(encoding="utf-8"))  # no script tag: the page's policy lets none in


def test_axe_finds_what_is_wrong(page, address):
    """So that its silence in the other tests means something: in a shadow root, in both schemes."""
    open_page(page, address + "?model=missing")
    expect(page.get_by_role("alert")).to_be_visible()
    assert issues(page) == []
    page.evaluate("document.querySelector('gemlet-app').shadowRoot.querySelector('select').parentElement.replaceWith(document.createElement('select'))")
    assert [issue.split(":")[:2] for issue in issues(page)] == [["dark", " select-name"], ["light", " select-name"]]


def test_a_base_model_and_a_load_are_accessible(page, address):
    """Before the tests of the chat, from which the browser keeps the same weights."""
    page.route("**/weights/**", lambda route: None)
    open_page(page, address + "?model=base")
    expect(page.get_by_role("progressbar", name="kernels")).to_be_visible()
    for screen in SCREENS:
        page.set_viewport_size(screen)
        assert issues(page) == []
    page.unroute("**/weights/**")  # which lets go those that are held back
    wait_until_ready(page)
    page.get_by_role("textbox", name="Prompt").fill("hello")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)
    for screen in SCREENS:
        page.set_viewport_size(screen)
        assert issues(page) == []


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: str(screen["width"]))
def test_a_chat_and_its_conversations_are_accessible(page, address, screen):
    page.set_viewport_size(screen)
    open_page(page, address + f"?model={MODEL}")
    wait_until_ready(page)
    assert issues(page) == []

    page.locator("input[type=file]").set_input_files({"name": "all.json", "mimeType": "application/json", "buffer": json.dumps(FILE).encode()})
    opener = page.get_by_role("button", name="Conversations", exact=True)
    if opener.is_visible():
        opener.click()
    page.get_by_role("button", name="Actions for Conversation a").first.click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("button", name="Actions for Conversation b").first.click()
    assert issues(page) == []
    page.get_by_role("button", name="Delete", exact=True).click()
    assert issues(page) == []
    page.get_by_role("button", name="Conversation a", exact=True).first.click()
    expect(page.locator("gemlet-chat-view")).to_contain_text("A heading")
    closed = page.locator("details:not([open]) > summary")
    while closed.count() > 0:
        closed.first.click()
    assert issues(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]
