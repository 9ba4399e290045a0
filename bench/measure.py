"""One round of one engine: a new browser, a load, and answers to every prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from playwright.sync_api import Browser, Error, Page, Playwright

from bench.browser import Adapter, launch, open_page
from bench.counting import difference, webgpu_counts
from bench.engines import WEBGPU, Engine
from bench.processes import BrowserProcesses, MemoryPeak
from bench.prompts import Prompt
from bench.site import BLANK
from bench.summary import decode_rate, per_token

WARM_UP_TOKENS = 2

LOAD = """async ([module, options]) => {
  const start = performance.now();
  const { load } = await import(`./${module}`);
  globalThis.engine = await load(options);
  return performance.now() - start;
}"""
MODULE = "() => engine.module ?? null"
ANSWER = "([prompt, count]) => engine.generate(prompt, count)"


class NotMeasurable(Exception):
    """The engine cannot run here; the message says why."""


@dataclass(frozen=True)
class Answer:
    """`first_token` and `times` are milliseconds from the request on; one time a token."""

    prompt_tokens: int
    times: list[float]
    text: str

    @property
    def first_token(self) -> float:
        return self.times[0]

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, up to the first token."""
        return 1000 * self.prompt_tokens / self.first_token

    @property
    def decode_rate(self) -> float:
        return decode_rate(self.times)


@dataclass(frozen=True)
class Module:
    """What an engine tells of its WebAssembly: bytes of the module and of its linear memory, milliseconds from asking for the file to its being compiled."""

    file: str
    bytes: int
    compile: float
    memory: int


@dataclass(frozen=True)
class Round:
    """What one round measured. Milliseconds, bytes and calls; those with `_per_token` are of one decoded token."""

    load: float
    first_answer: float  # to the first token of the first answer ever, with whatever the engine puts off until then
    answers: list[Answer]  # one a prompt
    calls_per_token: dict[str, float]  # of an engine on WebGPU
    page_thread_per_token: float
    worker_threads_per_token: float | None  # None where the system does not tell
    memory: MemoryPeak
    module: Module | None = None  # of engines that tell


def measure(
    playwright: Playwright, engine: Engine, adapter: Adapter, address: str, prompts: Sequence[Prompt], tokens: int
) -> Round:
    """Answers of `tokens` tokens (at least two) to every prompt; the first prompt, best a short one, also warms up and is counted.

    Raises NotMeasurable where the engine does not load or fails.
    """
    browser = launch(playwright, adapter.kind)
    try:
        page = open_page(browser, address + BLANK)
        return _measure(browser, page, engine, prompts, tokens)
    except Error as error:
        raise NotMeasurable(error.message.splitlines()[0]) from error
    finally:
        browser.close()


def _measure(browser: Browser, page: Page, engine: Engine, prompts: Sequence[Prompt], tokens: int) -> Round:
    processes = BrowserProcesses(browser, page)
    with processes.memory_peak() as memory:
        load = page.evaluate(LOAD, [engine.module, engine.options])
        module = page.evaluate(MODULE)
        first_answer = answer(page, prompts[0], WARM_UP_TOKENS).first_token
        count_calls = engine.backend == WEBGPU
        marks = [_cost(page, processes, count_calls)]
        for count in (1, tokens):
            counted = answer(page, prompts[0], count)
            marks.append(_cost(page, processes, count_calls))
        answers = [counted, *(answer(page, prompt, tokens) for prompt in prompts[1:])]
    calls = [difference(after.calls, before.calls) for before, after in pairwise(marks)]
    calls_per_token = {name: per_token(calls[1][name], calls[0][name], tokens) for name in calls[0]}
    if count_calls and not calls_per_token["dispatches"]:
        raise NotMeasurable("it answers, but sends nothing to this adapter: it has fallen back to the processor")
    pages = [1000 * (after.page - before.page) for before, after in pairwise(marks)]
    workers = [1000 * (after.workers - before.workers) for before, after in pairwise(marks) if after.workers is not None]
    return Round(
        load,
        first_answer,
        answers,
        calls_per_token,
        per_token(pages[1], pages[0], tokens),
        per_token(workers[1], workers[0], tokens) if workers else None,
        memory,
        Module(**module) if module else None,
    )


def answer(page: Page, prompt: Prompt, count: int) -> Answer:
    """One answer. Raises NotMeasurable where it has another number of tokens."""
    result = page.evaluate(ANSWER, [asdict(prompt), count])
    if len(result["times"]) != count:
        raise NotMeasurable(f"expected {count} tokens after a prompt of {len(prompt.ids)}, found {len(result['times'])}")
    return Answer(len(prompt.ids), [time - result["start"] for time in result["times"]], result["text"])


@dataclass(frozen=True)
class _Cost:
    """Calls to WebGPU, and seconds of processor time of the page's thread and of its workers'."""

    calls: Counter[str]
    page: float
    workers: float | None


def _cost(page: Page, processes: BrowserProcesses, count_calls: bool) -> _Cost:
    """What has been spent so far; no calls unless they are asked for."""
    calls = webgpu_counts(page) if count_calls else Counter()
    return _Cost(calls, processes.page_seconds(), processes.worker_seconds())
