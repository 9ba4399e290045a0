"""The chat of the page with a model: an answer is stopped, gone on with, and given anew."""
from playwright.sync_api import expect

from tests.fixtures.chat_page import ask, done, messages, press
from tests.fixtures.page_answers import PATIENCE
from tests.fixtures.wasm_models import MODEL

# The small model writes 1000 tokens in less time than it takes to look for the button from here.
STOP_SOON = """async () => {
    const { shadowRoot } = chat.shadowRoot.querySelector("gemlet-chat-view");
    const written = () => shadowRoot.querySelector("gemlet-message[running]")?.shadowRoot.querySelector("article").textContent.trim() ?? "";
    const latest = performance.now() + 30_000;
    while (written() === "") {
        if (performance.now() > latest) throw new Error(`nothing was written: ${chat.shadowRoot.textContent}`);
        await new Promise(requestAnimationFrame);
    }
    [...shadowRoot.querySelectorAll("button")].find((button) => button.textContent.trim() === "Stop").click();
}"""


def test_answers_of_a_model_are_stopped_continued_regenerated_and_asked_for_anew(browser, wasm_address):
    page = browser.new_page()
    page.goto(wasm_address + "blank.html")
    page.evaluate("""async (model) => {
        await import("./gemlet-chat.js");
        globalThis.chat = document.createElement("gemlet-chat");
        Object.assign(chat, { options: { backend: "wasm", threads: 1 }, src: `models/${model}/` });
        chat.addEventListener("gemlet-messages", ({ messages }) => (globalThis.view = { messages }));
        document.body.append(chat);
    }""", MODEL)
    status = page.get_by_role("status")
    expect(status).to_contain_text("Ready", timeout=PATIENCE)

    def sample(**fields) -> None:
        # Letters, since other noise would be more tokens when it is read again.
        page.evaluate("(sampling) => { chat.sampling = { regex: '[a-z]{1000}', ...sampling }; }", fields)

    def content() -> str:
        conversation = messages(page)
        assert [message["role"] for message in conversation] == ["user", "assistant"]
        return conversation[1]["content"]

    sample(max_tokens=1000, seed=1)
    ask(page, "hello")
    page.evaluate(STOP_SOON)
    expect(status).to_contain_text("Stopped", timeout=PATIENCE)
    stopped = content()
    sample(max_tokens=6, seed=2)
    press(page, "Continue answer")
    expect(status).to_contain_text("Done, cut at its longest: 6 tokens", timeout=PATIENCE)
    continued = content()
    assert continued.startswith(stopped) and len(continued) > len(stopped)
    press(page, "Regenerate answer")
    done(page)
    regenerated = content()
    assert 0 < len(regenerated) < len(stopped) and not continued.startswith(regenerated)
    press(page, "Edit message")
    page.get_by_role("textbox", name="Changed message").fill("good day")
    press(page, "Save and answer again")
    done(page)
    assert messages(page)[0] == {"role": "user", "content": "good day"} and content() not in (regenerated, continued)
    page.close()
