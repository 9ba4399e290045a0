"""The page, driven as a person would, with the real default model."""
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
# Loading and the first tokens take long on a software GPU; nothing here asserts a time.
PATIENCE = 300_000


@pytest.fixture
def page(browser, default_address):
    page = browser.new_page(viewport={"width": 1180, "height": 860}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    page.goto(default_address)
    yield page
    page.close()


def status(page: Page):
    return page.get_by_role("status")


def answer(page: Page):
    return page.get_by_label("Answer", exact=True)


def test_a_person_watches_the_load_reads_an_answer_stops_one_and_asks_again(page, request):
    expect(page.get_by_role("progressbar").first).to_be_visible()
    expect(status(page)).to_contain_text("Ready", timeout=PATIENCE)
    expect(page.get_by_text("Gemma Terms of Use").first).to_be_visible()
    expect(page.get_by_text("268 M")).to_be_visible()

    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Max tokens").fill("12")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_role("textbox", name="Prompt").fill("The capital of France is")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(answer(page)).to_contain_text("the capital", timeout=PATIENCE)
    expect(status(page)).to_contain_text("Done", timeout=PATIENCE)
    expect(status(page)).to_contain_text(re.compile(r"tokens a second|tokens/s|tok/s"))
    expect(answer(page)).to_contain_text("the capital of the country of France. It is the")
    if request.config.getoption("--update-picture"):
        page.screenshot(path=PICTURE)

    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Max tokens").fill("200")
    page.get_by_role("textbox", name="Prompt").fill("Once upon a time")
    page.get_by_role("button", name="Generate").click()
    expect(answer(page)).to_contain_text(re.compile(r"\w+ \w+"), timeout=PATIENCE)
    expect(status(page)).to_have_attribute("aria-live", "off")  # else a screen reader would read the speed after each token
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_contain_text("Stopped", timeout=PATIENCE)
    expect(status(page)).to_have_attribute("aria-live", "polite")
    stopped = answer(page).inner_text()

    page.get_by_label("Max tokens").fill("4")
    page.get_by_role("textbox", name="Prompt").fill("One, two, three, four,")
    page.get_by_role("button", name="Generate").click()
    expect(status(page)).to_contain_text("Done", timeout=PATIENCE)
    assert answer(page).inner_text() != stopped
    expect(answer(page)).to_contain_text("five")
