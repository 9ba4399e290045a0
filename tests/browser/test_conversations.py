"""Conversations that the browser keeps, and the list beside the chat; on a small random model, whose answers are noise."""
import json

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.fixtures.page_answers import PATIENCE, wait_until_ready

WIDE = {"width": 1400, "height": 860}
PHONE = {"width": 320, "height": 640}


@pytest.fixture
def context(browser):
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(PATIENCE)
    # Greedy, so that all runs have the same answers; kept as the page would.
    context.add_init_script("""localStorage[`gemlet sampling ${location.href.replace(/[?].*/, "")}`] ??= '{"temperature": "0", "max_tokens": "5"}';""")
    yield context
    context.close()


def open_page(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    wait_until_ready(page)
    return page


def say(page: Page, text: str) -> None:
    """Types into the field that has the focus, and waits for the answer's end."""
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)


def titles(page: Page) -> Locator:
    return page.locator("gemlet-conversation-list .open")


def prompt(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Prompt", exact=True)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_conversations_survive_a_reload_and_go_on_where_they_were(context, wasm_address):
    page = open_page(context, wasm_address)
    expect(prompt(page)).to_be_focused()
    say(page, "the first question")
    page.get_by_role("button", name="New chat").click()
    expect(prompt(page)).to_be_focused()
    expect(page.get_by_label("Answer", exact=True)).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("")
    say(page, "the second question")
    expect(titles(page)).to_have_text(["the second question", "the first question"])

    expect(page.get_by_role("button", name="Continue answer")).to_be_visible()  # five tokens are the most that were asked for
    page.reload()
    wait_until_ready(page)
    expect(page.get_by_role("button", name="Continue answer")).to_be_visible()
    expect(titles(page)).to_have_text(["the second question", "the first question"])
    expect(titles(page).first).to_have_attribute("aria-current", "true")
    expect(page.locator("gemlet-chat-view")).to_contain_text("the second question")

    titles(page).last.focus()
    press(page, "Enter")
    expect(page.locator("gemlet-chat-view")).to_contain_text("the first question")
    expect(page.locator("gemlet-chat-view")).not_to_contain_text("the second question")
    expect(prompt(page)).to_be_focused()
    say(page, "and more")
    expect(titles(page)).to_have_text(["the first question", "the second question"])
    expect(page.locator("[aria-current]")).to_have_text("the first question")

    other = open_page(context, wasm_address)  # another tab: a new chat
    expect(titles(other)).to_have_text(["the first question", "the second question"])
    expect(other.locator("[aria-current]")).to_have_count(0)
    titles(other).first.click()
    say(other, "from the other tab")
    expect(page.locator("gemlet-chat-view")).to_contain_text("from the other tab")


def test_titles_deletions_and_undo_by_keyboard_alone(context, wasm_address):
    page = open_page(context, wasm_address)
    say(page, "one")
    page.get_by_role("button", name="New chat").click()
    say(page, "two")
    page.get_by_role("button", name="Actions for two").focus()
    press(page, "Enter", "Tab", "Enter")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    page.keyboard.type("a better title")
    press(page, "Enter")
    expect(titles(page)).to_have_text(["a better title", "one"])
    expect(page.get_by_role("button", name="Actions for a better title")).to_be_focused()
    press(page, "Enter", "Tab", "Enter", "Escape")
    expect(titles(page)).to_have_text(["a better title", "one"])
    expect(page.get_by_role("button", name="Actions for a better title")).to_be_focused()

    press(page, "Enter", "Tab", "Tab", "Tab", "Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    expect(page.get_by_text("“a better title” is deleted")).to_be_visible()
    expect(titles(page)).to_have_text(["one"])
    expect(page.get_by_label("Answer", exact=True)).to_have_count(0)
    press(page, "Enter")
    expect(titles(page).first).to_be_focused()
    expect(titles(page)).to_have_text(["a better title", "one"])

    page.get_by_role("button", name="Delete all").click()
    expect(titles(page)).to_have_count(0)
    page.reload()
    wait_until_ready(page)
    expect(titles(page)).to_have_count(0)


def test_files_carry_conversations_and_wrong_ones_change_nothing(context, wasm_address, tmp_path):
    page = open_page(context, wasm_address)
    page.get_by_text("System prompt", exact=True).click()
    page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    prompt(page).focus()
    say(page, "a <b>question</b> ünd “quotes”")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export all").click()
    file = tmp_path / "all.json"
    downloading.value.save_as(file)
    exported = json.loads(file.read_text())
    assert (exported["format"], exported["version"]) == ("gemlet-conversations", 1)
    [conversation] = exported["conversations"]
    assert conversation["messages"][:2] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a <b>question</b> ünd “quotes”"}]
    assert conversation["messages"][2]["role"] == "assistant"

    for wrong, told in [
        ("{", "Nothing is imported from wrong.json: expected a JSON file"),
        (json.dumps(exported | {"version": 2}), "version: expected 1, found 2"),
        (json.dumps(exported | {"conversations": [conversation, conversation | {"messages": [{"role": "bot", "content": ""}]}]}),
         'conversations[1].messages[0].role: expected "system"'),
    ]:
        (tmp_path / "wrong.json").write_text(wrong)
        page.locator("input[type=file]").set_input_files(tmp_path / "wrong.json")
        expect(page.locator("gemlet-conversation-list")).to_contain_text(told)
        expect(titles(page)).to_have_count(1)

    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("Nothing is imported from all.json. One was here already.")).to_be_visible()
    expect(titles(page)).to_have_text([conversation["title"]])
    page.get_by_role("button", name="Delete all").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("One conversation is imported from all.json.")).to_be_visible()
    expect(titles(page)).to_have_text([conversation["title"]])
    titles(page).click()
    expect(page.locator("gemlet-chat-view")).to_contain_text("a <b>question</b> ünd “quotes”")
    expect(page.get_by_role("button", name="Continue answer")).to_be_visible()
    longer = [*conversation["messages"], {"role": "user", "content": "more"}, {"role": "assistant", "content": "the end"}]
    ended = conversation | {"title": "ended", "changed": 1, "finish_reason": "stop", "messages": longer}
    file.write_text(json.dumps(exported | {"conversations": [conversation, ended]}))
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("One conversation is imported from all.json. One was here already.")).to_be_visible()
    titles(page).last.click()
    expect(page.get_by_role("button", name="Regenerate answer")).to_be_visible()
    expect(page.get_by_role("button", name="Continue answer")).to_have_count(0)


def test_settings_are_kept_until_they_are_reset(context, wasm_address):
    page = open_page(context, wasm_address)
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_text("System prompt", exact=True).click()
    expect(page.get_by_label("Max tokens")).to_have_value("5")
    page.get_by_label("Top-k").fill("40")
    page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    prompt(page).click()
    say(page, "Hello")
    tokens = page.locator("meter").evaluate("({ value }) => value")
    page.get_by_label("Think before answering").check()
    page.get_by_role("button", name="Regenerate answer").click()
    # The template tells the model to think.
    page.wait_for_function("(tokens) => document.querySelector('gemlet-app').shadowRoot.querySelector('gemlet-chat-view').shadowRoot.querySelector('meter').value > tokens", arg=tokens)
    page.reload()
    wait_until_ready(page)
    expect(page.get_by_label("Think before answering")).to_be_checked()
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_text("System prompt", exact=True).click()
    expect(page.get_by_label("Top-k")).to_have_value("40")
    expect(page.get_by_role("textbox", name="System prompt")).to_have_value("Be brief.")
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_label("Top-k")).to_have_value("64")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("textbox", name="System prompt")).to_be_focused()
    page.reload()
    wait_until_ready(page)
    expect(page.get_by_label("Top-k")).to_have_value("64")
    expect(page.get_by_role("textbox", name="System prompt", include_hidden=True)).to_have_value("")


def test_a_phone_has_a_drawer_and_without_indexeddb_the_page_works_and_says_so(context, wasm_address):
    context.add_init_script("Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('denied', 'SecurityError'); } })")
    page = open_page(context, wasm_address)
    page.set_viewport_size(PHONE)
    say(page, "a question that is longer than a phone is wide, and goes on for a while")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    opener = page.get_by_role("button", name="Conversations")
    opener.focus()
    press(page, "Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Close")).to_be_focused()
    expect(page.get_by_text("Conversations end with this page: this browser gives the page no IndexedDB")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()

    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_label("Answer", exact=True)).to_have_count(0)
    opener.click()
    titles(page).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.locator("gemlet-chat-view")).to_contain_text("a question that is longer")
    page.reload()
    wait_until_ready(page)
    opener.click()
    expect(titles(page)).to_have_count(0)
