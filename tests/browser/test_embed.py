"""The examples of docs/embed.md, in pages of another origin than the engine and the model."""
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.fixtures.page_answers import PATIENCE
from tests.fixtures.static_host import host_with_headers, static_host
from tests.fixtures.wasm_models import MODEL

EXAMPLES = re.findall(r"```html\n(.*?)```", (Path(__file__).parents[2] / "docs" / "embed.md").read_text(), re.DOTALL)
ELEMENT, ENGINE = EXAMPLES
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


def page_of(example: str, address: str) -> str:
    """An example that takes engine and model from that address."""
    example = example.replace("https://models.example.org/", address).replace("NAME", MODEL)
    return f"<!doctype html><title>embedding</title>\n{example}"


def ask(page: Page) -> None:
    chat = page.locator("gemlet-chat")
    expect(chat.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    chat.evaluate("(element) => { element.sampling = { max_tokens: 5, ignore_eos: true, temperature: 0 }; }")
    chat.get_by_role("textbox", name="Prompt").fill("hello")
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_role("status")).to_contain_text("5 tokens", timeout=PATIENCE)
    expect(chat.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)


def test_the_element_answers_in_a_plain_page_of_another_origin_with_one_thread(patient_page, wasm_address, tmp_path):
    (tmp_path / "index.html").write_text(page_of(ELEMENT, wasm_address))
    with static_host(tmp_path) as other:
        patient_page.goto(other)
        ask(patient_page)
        assert patient_page.evaluate("document.querySelector('gemlet-chat').engine.info.backend.threads") == 1


def test_the_element_has_its_threads_in_an_isolated_page_of_another_origin(patient_page, wasm_address, tmp_path):
    example = ELEMENT.replace("<gemlet-chat ", "<gemlet-chat hidden ")
    (tmp_path / "index.html").write_text(page_of(example, wasm_address))
    with host_with_headers(tmp_path, ISOLATED) as other:
        patient_page.goto(other)
        patient_page.evaluate("""async () => {
            await customElements.whenDefined("gemlet-chat");
            const chat = document.querySelector("gemlet-chat");
            chat.remove();
            Object.assign(chat, { options: { backend: "wasm", threads: 2 }, hidden: false });
            document.body.append(chat);
        }""")
        ask(patient_page)
        backend = patient_page.evaluate("document.querySelector('gemlet-chat').engine.info.backend")
        assert (backend["name"], backend["threads"]) == ("wasm", 2)


def test_the_element_leaves_the_focus_and_frees_its_workers_when_it_goes(patient_page, wasm_address, tmp_path):
    (tmp_path / "index.html").write_text(page_of("<input autofocus>" + ELEMENT, wasm_address))
    with static_host(tmp_path) as other:
        patient_page.goto(other)
        expect(patient_page.locator("gemlet-chat").get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
        assert patient_page.evaluate("document.activeElement.tagName") == "INPUT"
        assert len(patient_page.workers) == 1
        with patient_page.workers[0].expect_event("close"):
            patient_page.locator("gemlet-chat").evaluate("(element) => element.remove()")


def test_a_missing_model_is_told_and_another_src_loads(patient_page, wasm_address, tmp_path):
    (tmp_path / "index.html").write_text(page_of(ELEMENT.replace("NAME", "missing"), wasm_address))
    with static_host(tmp_path) as other:
        patient_page.goto(other)
        chat = patient_page.locator("gemlet-chat")
        expect(chat.get_by_role("alert")).to_contain_text("models/missing/model.json: the server answered 404", timeout=PATIENCE)
        chat.evaluate("(element, src) => { element.src = src; }", f"{wasm_address}models/{MODEL}/")
        ask(patient_page)
        expect(chat.get_by_role("alert")).to_have_count(0)


def test_the_bare_module_answers_in_a_page_of_another_origin(patient_page, wasm_address, tmp_path):
    (tmp_path / "index.html").write_text(page_of(ENGINE, wasm_address))
    with static_host(tmp_path) as other:
        patient_page.goto(other)
        expect(patient_page.locator("#answer")).not_to_be_empty(timeout=PATIENCE)
