"""The engine on WebAssembly, and the page, in Firefox. It is driven by scripts in the page, so that what is typed and clicked is an event that the test makes."""
import numpy as np
import pytest

from tests.browser.test_random_checkpoints import TOLERANCE, prompt
from tests.browser.test_wasm_random_checkpoints import ROUNDED
from tests.fixtures.gemma4_checkpoints import greedy_choices, reference, reference_logits
from tests.fixtures.sites import EnginePage

# Waits until `done`, a function, gives something, and gives that. A load takes a second; a busy machine longer.
UNTIL = """const until = async (done) => {
    for (const end = performance.now() + 60_000; performance.now() < end; await new Promise((wake) => setTimeout(wake, 20))) {
        const found = done();
        if (found) return found;
    }
    throw new Error(`still not there: ${done}; status: ${app.querySelector("[role=status]")?.textContent}`);
};
const app = document.querySelector("gemlet-app").shadowRoot;
const status = (text) => until(() => app.querySelector("[role=status]")?.textContent.includes(text));"""
ASK = "async (text) => { " + UNTIL + """
    await until(() => /Ready|Done/.test(app.querySelector("[role=status]").textContent));
    const view = app.querySelector("gemlet-chat-view").shadowRoot;
    const box = view.querySelector(".composer textarea");
    box.value = text;
    box.dispatchEvent(new InputEvent("input"));
    const send = await until(() => [...view.querySelectorAll("button")].find((button) => button.textContent.trim() === "Send" && !button.disabled));
    send.click();
    await until(() => !view.querySelector("gemlet-message[running]") && view.querySelectorAll("gemlet-message").length % 2 === 0);
    await status("Done");
    return [...view.querySelectorAll("gemlet-message")].map((message) => message.shadowRoot.textContent.trim());
}"""
CARD = "async () => { " + UNTIL + """
    const card = await until(() => app.querySelector("gemlet-model-card")?.shadowRoot);
    await status("Ready");
    return Object.fromEntries([...card.querySelectorAll("dt")].map((term) => [term.textContent, term.nextElementSibling.textContent]));
}"""
FEW_TOKENS = """() => { localStorage[`gemlet sampling ${location.href}`] = '{"temperature": "0", "max_tokens": "5"}'; }"""


@pytest.fixture
def page(firefox):
    """A tab, not opened yet. What it writes to the console as an error fails the test."""
    firefox.errors.clear()
    page = firefox.new_page()
    yield page
    page.close()
    assert firefox.errors == []


@pytest.mark.parametrize("activations,tolerance,threads", [("float", TOLERANCE, 1), ("int16", ROUNDED, 2)])
def test_logits_and_greedy_tokens_equal_the_reference(firefox, wasm_address, checkpoints, activations, tolerance, threads):
    engine = EnginePage(firefox, wasm_address)
    info = engine.load("plain", activations=activations, threads=threads)  # "auto" takes WebAssembly
    assert info["backend"]["name"] == "wasm" and info["backend"]["threads"] == threads
    assert info["backend"]["module"]["activations"] == activations
    model = reference(checkpoints("plain"))
    ids = prompt()
    assert np.abs(np.array(engine.logits(ids)) - reference_logits(model, ids)[-1]).max() <= tolerance
    answer = engine.tokens(ids, 16)
    assert len(answer) == 16
    if activations == "float":
        assert answer == greedy_choices(model, ids, answer)
    engine.close()


def test_the_page_answers_keeps_the_conversation_and_loads_the_model_from_the_browser(page, wasm_address):
    page.goto(wasm_address)
    card = page.evaluate(CARD)
    assert card["Runs on"].startswith("WebAssembly") and card["Loaded"].endswith("downloaded")
    page.evaluate(FEW_TOKENS)
    page.goto(wasm_address)
    card = page.evaluate(CARD)
    assert card["Loaded"].endswith("from this browser")
    first = page.evaluate(ASK, "hello there")
    second = page.evaluate(ASK, "and again")
    assert len(first) == 2 and first[0] == "hello there" and second[:2] == first and second[2] == "and again" and len(second) == 4
    page.goto(wasm_address)
    page.evaluate(CARD)
    assert page.evaluate("async () => { " + UNTIL + """
        const messages = await until(() => { const all = app.querySelector("gemlet-chat-view")?.shadowRoot.querySelectorAll("gemlet-message"); return all?.length === 4 && all; });
        return [...messages].map((message) => message.shadowRoot.textContent.trim());
    }""") == second
