"""The engine in the page's own thread, and in a worker that tabs share: the answers are those of a worker of its own."""
import pytest

from tests.fixtures.sites import EnginePage
from tests.fixtures.waiting import wait_until
from tests.fixtures.wasm_models import MODEL

PROMPT = [2, *range(265, 285)]


@pytest.fixture
def tab(browser, wasm_address):
    """The function () -> a page with the engine's module. All are tabs of one browser."""
    context = browser.new_context()
    yield lambda: EnginePage(context, wasm_address)
    context.close()


def unload(engine: EnginePage) -> None:
    engine.page.evaluate("engine.unload().then(() => { globalThis.unloaded = engine; globalThis.engine = undefined; })")


def shared_workers(browser) -> int:
    session = browser.new_browser_cdp_session()
    found = session.send("Target.getTargets", {"filter": [{"type": "shared_worker"}]})["targetInfos"]
    session.detach()
    return len(found)


def test_in_the_pages_own_thread_and_in_a_shared_worker_the_answers_are_the_same(tab):
    engine = tab()
    answers = {}
    for host in ("worker", "page", "shared-worker"):
        # The GPU's pipelines take their time, so that its answers are compared between the two hosts that other tests do not have.
        for backend in ("wasm",) if host == "worker" else ("webgpu", "wasm"):
            info = engine.load(MODEL, backend=backend, host=host)
            assert len(engine.page.workers) == (info["backend"]["threads"] or 1 if host == "worker" else 0)
            answers[host, backend] = engine.tokens(PROMPT, 12)
        if host != "worker":
            assert info["backend"]["threads"] == 1 and info["storage"]["place"] == "cache"
            reason = "the page's own thread" if host == "page" else "a worker that tabs share"
            assert info["backend"]["module"]["threads_reason"].startswith(reason)
        # Between two steps the thread hears what else there is.
        pieces = engine.stream(prompt=PROMPT, max_tokens=1000, temperature=0, ignore_eos=True, abort_after=3)
        assert pieces[-1]["choices"][0]["aborted"]
    assert answers["page", "wasm"] == answers["shared-worker", "wasm"] == answers["worker", "wasm"]
    assert answers["page", "webgpu"] == answers["shared-worker", "webgpu"]
    assert engine.failure(f"engine.constructor.load('models/{MODEL}/', {{ host: 'server' }})")["message"].startswith("host: expected")


def test_tabs_share_an_engine_until_the_last_has_left(browser, tab):
    before = shared_workers(browser)
    options = dict(backend="wasm", host="shared-worker")
    first, second, third = tab(), tab(), tab()
    assert first.load(MODEL, **options) == second.load(MODEL, **options)
    request = dict(prompt=PROMPT, max_tokens=5, temperature=0, ignore_eos=True)
    answer = first.complete(**request)
    again = second.complete(**request)
    assert again["choices"] == answer["choices"]
    # The caches are the other tab's.
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == len(PROMPT) - 1
    third.load(MODEL, **options, conversationMemory=0)
    assert shared_workers(browser) == before + 2, "other options, another engine"
    third.close()
    unload(first)
    assert first.failure("unloaded.completions.create({ prompt: [2] })")["code"] == "unloaded"
    first.load(MODEL, **options)
    first.close()  # without a word
    assert second.complete(**request)["choices"] == answer["choices"]
    unload(second)
    # This tab is still there, so nothing but the engine itself has ended the worker.
    wait_until(second.page, before, lambda: shared_workers(browser))


def test_a_worker_that_ends_without_a_word_leaves_no_request_without_an_answer(tab):
    engine = tab()
    engine.page.evaluate("""() => {
        const { Worker } = globalThis;
        globalThis.Worker = class extends Worker { constructor(...given) { super(...given); globalThis.worker = this; } };
    }""")
    engine.load(MODEL, backend="wasm")
    request = f"engine.completions.create({{ prompt: {PROMPT}, max_tokens: 1000, ignore_eos: true }})"
    failure = engine.failure(f"(setTimeout(() => worker.terminate(), 200), {request})")
    assert failure["code"] == "worker-failed" and "the engine's worker has ended" in failure["message"]
    assert engine.failure(request)["code"] == "worker-failed"
