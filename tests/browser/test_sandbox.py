"""Frames that have no origin (`sandbox="allow-scripts"`): the browser refuses them all storage, and engine, element and page work without."""
import contextlib

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_embed import ELEMENT, page_of
from tests.fixtures.page_answers import PATIENCE
from tests.fixtures.static_host import host_with_headers, static_host
from tests.fixtures.wasm_models import MODEL

ALLOWED = {"Access-Control-Allow-Origin": "*"}
FRAME = '<!doctype html><title>frame</title><iframe sandbox="allow-scripts" src="{}" style="width: 90vw; height: 90vh"></iframe>'


@pytest.fixture
def open_frame(patient_page, tmp_path):
    """The function (address) -> the frame of it in a page of another origin."""
    with contextlib.ExitStack() as stack:
        def frame(address: str):
            (tmp_path / "frame.html").write_text(FRAME.format(address))
            patient_page.goto(stack.enter_context(static_host(tmp_path)) + "frame.html")
            return patient_page.frame_locator("iframe")

        yield frame


def inner(page: Page):
    [frame] = page.main_frame.child_frames
    return frame


def answer(frame) -> None:
    expect(frame.get_by_role("status")).to_contain_text("Ready", timeout=PATIENCE)
    frame.get_by_role("textbox", name="Prompt").fill("hello")
    frame.get_by_role("textbox", name="Prompt").press("Enter")
    expect(frame.get_by_role("status")).to_contain_text("Done", timeout=PATIENCE)


def test_the_page_answers_in_a_sandboxed_frame_and_says_that_it_keeps_nothing(wasm_site, open_frame, patient_page):
    patient_page.set_viewport_size({"width": 1600, "height": 900})
    with host_with_headers(wasm_site, ALLOWED) as address:
        frame = open_frame(address)
        answer(frame)
        expect(frame.get_by_text("Conversations end with this page")).to_be_visible()
        expect(frame.get_by_text("Not kept: this browser, or this window of it, keeps nothing for the site")).to_be_visible()
        expect(frame.get_by_role("alert")).to_have_count(0)
        frame.get_by_role("button", name="New chat").click()
        expect(frame.get_by_text("Ask something.")).to_be_visible()


def test_the_element_answers_in_a_sandboxed_frame(wasm_site, open_frame, tmp_path):
    with host_with_headers(wasm_site, ALLOWED) as address:
        (tmp_path / "index.html").write_text(page_of(ELEMENT, address))
        answer(open_frame("index.html"))


def test_the_engine_in_a_sandboxed_frame_takes_a_query_and_is_unloaded_twice(wasm_site, open_frame, patient_page):
    asked = []
    patient_page.on("request", lambda request: asked.append(request.url))
    with host_with_headers(wasm_site, ALLOWED) as address:
        open_frame(address + "blank.html").locator("html").wait_for(state="attached")
        said = inner(patient_page).evaluate("""async (folder) => {
            const { Engine } = await import("./gemlet.js");
            const engine = await Engine.load(new URL(folder, location.href), { backend: "wasm" });
            const kept = await Engine.models.list();
            await Engine.models.delete(folder);
            const answer = await engine.completions.create({ prompt: [5, 6, 7], max_tokens: 4, ignore_eos: true });
            const stream = await engine.completions.create({ prompt: [5, 6, 7], ignore_eos: true, stream: true });
            await stream[Symbol.asyncIterator]().next();
            const first = engine.unload();
            const second = engine.unload();
            const calls = [engine.logits([5]), engine.completions.create({ prompt: "a" })];
            const failures = (await Promise.allSettled(calls)).map(({ reason }) => `${reason.code}: ${reason.message}`);
            return [engine.info.storage, kept, answer.usage.completion_tokens, await Promise.all([first, second, engine.unload()]), failures];
        }""", f"models/{MODEL}?v=2#part")
    assert said[0] | {"network_bytes": 0} == {"place": "none", "network_bytes": 0, "stored_bytes": 0, "persistent": False,
                                               "note": "this browser, or this window of it, keeps nothing for the site"}
    assert said[1:] == [[], 4, [None] * 3, ["unloaded: the engine was unloaded"] * 2]
    of_model = [url for url in asked if "/models/" in url]
    assert any("/weights/" in url for url in of_model) and all(url.endswith("?v=2") for url in of_model)
