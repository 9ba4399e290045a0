"""The page tells what runs the model, and why, and that something else has taken over."""
import pytest
from playwright.sync_api import expect

from tests.browser.test_wasm_fallback import DESTROY, broken_gpu
from tests.fixtures.worker_hook import hook_workers_of_next_page

PATIENCE = 60_000


@pytest.fixture(params=[False])
def page(browser, request):
    """params: whether workers may be hooked, whose blob: addresses the page's Content-Security-Policy refuses."""
    page = browser.new_page(viewport={"width": 1180, "height": 860}, bypass_csp=request.param)
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def row(page, term: str):
    """What the model's card says of a term."""
    return page.locator("dt", has_text=term).locator("xpath=following-sibling::dd[1]")


def test_the_card_names_webassembly_its_threads_and_the_reasons(page, wasm_address):
    page.goto(wasm_address)
    expect(page.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    expect(row(page, "Runs on")).to_contain_text("WebAssembly")
    expect(row(page, "Why there")).to_contain_text("WebGPU would compute on the processor too")
    expect(row(page, "Threads")).to_contain_text("as many as the processor runs at once")
    expect(row(page, "Module")).to_contain_text("SIMD, activations of 14 bits")
    expect(row(page, "Why this one")).to_contain_text("tried out: ")


@pytest.mark.parametrize("page", [True], indirect=True)
def test_a_lost_gpu_shows_in_a_note_and_on_the_card_and_the_answer_goes_on(page, wasm_address):
    hook_workers_of_next_page(page, broken_gpu(DESTROY, 15))
    page.goto(wasm_address)
    expect(page.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    expect(row(page, "Runs on")).to_contain_text("WebGPU")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Max tokens").fill("30")
    page.get_by_role("textbox").last.fill("hello")
    page.keyboard.press("Enter")
    expect(page.get_by_text("WebAssembly has taken over. WebGPU failed: the GPU was lost")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)
    expect(row(page, "Runs on")).to_contain_text("WebAssembly")
    expect(page.get_by_role("alert")).to_have_count(0)
