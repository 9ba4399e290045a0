"""A compiled site on a plain static host, with no header for it and in a subfolder: WebGPU in full, WebAssembly on one thread."""
import pytest
from playwright.sync_api import expect

from tests.fixtures.sites import EnginePage
from tests.fixtures.static_host import static_host
from tests.fixtures.wasm_models import MODEL

PATIENCE = 120_000


@pytest.fixture(scope="module")
def plain_address(wasm_site):
    with static_host(wasm_site.parent) as url:
        yield f"{url}{wasm_site.name}/"


def test_both_backends_answer_alike_and_webassembly_says_why_it_has_one_thread(browser, plain_address):
    engine = EnginePage(browser, plain_address)
    texts = {}
    for backend in ("wasm", "webgpu"):
        info = engine.load(MODEL, backend=backend, activations="float")["backend"]
        assert info["name"] == backend
        if backend == "wasm":
            assert info["threads"] == 1
            assert "isolated" in info["module"]["threads_reason"]
        texts[backend] = engine.tokens([5, 6, 7, 8], 8)
    engine.close()
    assert len(texts["wasm"]) == 8
    assert texts["wasm"] == texts["webgpu"]


def test_the_page_loads_and_answers(browser, plain_address):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(plain_address)
    expect(page.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Max tokens").fill("5")
    page.get_by_role("textbox", name="Prompt").fill("hello")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)
    page.close()
