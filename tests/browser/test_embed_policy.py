"""The strict Content-Security-Policies of docs/embed.md, sent with every file: all works, and no browser reports a violation."""
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.test_embed import ELEMENT, ask, page_of
from tests.fixtures.page_answers import PATIENCE, ask_for_five_tokens, wait_until_ready
from tests.fixtures.sites import EnginePage
from tests.fixtures.static_host import host_with_headers
from tests.fixtures.waiting import wait_until
from tests.fixtures.wasm_models import MODEL

DOCUMENT = (Path(__file__).parents[2] / "docs" / "embed.md").read_text()
MARKER = "http://marker.invalid/"
[TRUSTED] = re.findall(r"^    (require-trusted-types-for .*)$", DOCUMENT, re.MULTILINE)
OWN, OTHER_ORIGIN = re.findall(r"^    Content-Security-Policy: (.*)$", DOCUMENT, re.MULTILINE)


def host(folder: Path, policy: str, reports: list[str]):
    """A host that sends the policy with every file, and collects what browsers report of it: from workers, too."""
    return host_with_headers(folder, {"Content-Security-Policy": f"{policy}; report-uri /report"}, reports)


def reports_until_now(page: Page, reports: list[str]) -> list[str]:
    """All but one that is provoked here: reports take their time, so that none before it would mean little."""
    page.evaluate("(address) => { new Image().src = address; }", MARKER)
    wait_until(page, True, lambda: any(MARKER in report for report in reports))
    return [report for report in reports if MARKER not in report]


def test_the_page_answers_under_the_policy(patient_page, wasm_site):
    reports = []
    with host(wasm_site, OWN, reports) as address:
        patient_page.goto(address)
        wait_until_ready(patient_page)
        ask_for_five_tokens(patient_page)
        assert reports_until_now(patient_page, reports) == []


def test_page_and_element_answer_where_the_page_asks_for_trusted_types(patient_page, wasm_site, wasm_address, tmp_path):
    reports = []
    with host(wasm_site, f"{OWN}; {TRUSTED}", reports) as address:
        patient_page.goto(address)
        wait_until_ready(patient_page)
        assert patient_page.evaluate("navigator.serviceWorker.ready.then(({ active }) => active.scriptURL)") == f"{address}service-worker.js"
        ask_for_five_tokens(patient_page)
        assert patient_page.locator("gemlet-message .markdown").first.evaluate("(shown) => shown.childElementCount") > 0
        assert reports_until_now(patient_page, reports) == []
    reports.clear()
    (tmp_path / "index.html").write_text(page_of(ELEMENT, wasm_address))
    policy = OTHER_ORIGIN.replace("https://models.example.org", wasm_address.rstrip("/"))
    with host(tmp_path, f"{policy}; {TRUSTED}", reports) as other:
        patient_page.goto(other)
        ask(patient_page)
        assert reports_until_now(patient_page, reports) == []


def test_the_element_of_another_origin_answers_under_the_policy(patient_page, wasm_address, tmp_path):
    reports = []
    (tmp_path / "index.html").write_text(page_of(ELEMENT, wasm_address))
    policy = OTHER_ORIGIN.replace("https://models.example.org", wasm_address.rstrip("/"))
    with host(tmp_path, policy, reports) as other:
        patient_page.goto(other)
        ask(patient_page)
        assert reports_until_now(patient_page, reports) == []


def test_a_policy_that_forbids_the_worker_is_told_by_name(patient_page, wasm_address, tmp_path):
    (tmp_path / "index.html").write_text(page_of(ELEMENT, wasm_address))
    policy = OTHER_ORIGIN.replace("worker-src blob:", "worker-src").replace("https://models.example.org", wasm_address.rstrip("/"))
    with host(tmp_path, policy, []) as other:
        patient_page.goto(other)
        expect(patient_page.locator("gemlet-chat").get_by_role("alert")).to_contain_text("a Content-Security-Policy of the page allows it", timeout=PATIENCE)


def test_without_wasm_unsafe_eval_webgpu_runs_and_webassembly_says_what_refused_it(browser, wasm_site):
    reports = []
    with host(wasm_site, OWN.replace(" 'wasm-unsafe-eval'", ""), reports) as address:
        engine = EnginePage(browser, address)
        engine.load(MODEL, backend="webgpu")
        assert len(engine.tokens([5, 6, 7, 8], 4)) == 4
        assert reports_until_now(engine.page, reports) == []
        reports.clear()
        load = f"import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/{MODEL}/', {{ backend: 'wasm' }}))"
        assert "Content Security" in engine.failure(load)["message"]
        wait_until(engine.page, True, lambda: len(reports) > 0)
        assert "wasm-eval" in reports[0]
        engine.close()
