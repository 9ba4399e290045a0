"""A compiled site on a plain static host, with no header for it and in a subfolder: WebGPU in full, WebAssembly on one thread."""
import pytest

from tests.fixtures.page_answers import ask_for_five_tokens, wait_until_ready
from tests.fixtures.sites import EnginePage
from tests.fixtures.static_host import static_host
from tests.fixtures.wasm_models import MODEL



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


def test_the_page_loads_and_answers(patient_page, plain_address):
    patient_page.goto(plain_address)
    wait_until_ready(patient_page)
    ask_for_five_tokens(patient_page)
