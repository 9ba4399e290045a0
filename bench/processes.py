"""What a browser's processes use: memory of the page's and the GPU's process, processor time of the page's threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

SECONDS_BETWEEN_SAMPLES = 0.1
# Linux tells the processor time of each thread here, in nanoseconds; other systems do not name their threads.
THREADS = "/proc/{process}/task"
WORKER_THREAD = "DedicatedWorker"

CLEARLY = 5
BUSY = "() => { const end = performance.now() + 300; while (performance.now() < end); }"


@dataclass
class MemoryPeak:
    """Bytes: the most that the page's process, the GPU's process and both together have held (resident set size)."""

    page: int = 0
    gpu: int = 0
    both: int = 0


class BrowserProcesses:
    """The page's own process and the GPU's, found by the browser's DevTools."""

    def __init__(self, browser: Browser, page: Page):
        """`page` must have its address already: going to another may change its process."""
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("Performance.enable")
        self._page = page_process(browser, page)
        (self._gpu,) = _processor_seconds(browser, "GPU")

    def page_seconds(self) -> float:
        """Processor time of the page's main thread so far."""
        metrics = {metric["name"]: metric["value"] for metric in self._devtools.send("Performance.getMetrics")["metrics"]}
        return metrics["ThreadTime"]

    def worker_seconds(self) -> float | None:
        """Processor time so far of all threads that run the page's workers; None where the system does not tell."""
        tasks = Path(THREADS.format(process=self._page))
        if not tasks.is_dir():
            return None
        total = 0
        for task in tasks.iterdir():
            with contextlib.suppress(FileNotFoundError):  # the thread has ended
                if (task / "comm").read_text("utf-8").startswith(WORKER_THREAD):
                    total += int((task / "schedstat").read_text("ascii").split()[0])
        return total / 1e9

    @contextlib.contextmanager
    def memory_peak(self) -> Iterator[MemoryPeak]:
        """Samples memory until the end of the block; a peak that is shorter than the pause of 0.1 s may be missed."""
        import psutil  # only here: the tests do without it (requirements/bench.txt)

        peak, done = MemoryPeak(), threading.Event()
        processes = psutil.Process(self._page), psutil.Process(self._gpu)

        def sample() -> None:
            while not done.wait(SECONDS_BETWEEN_SAMPLES):
                try:
                    page, gpu = (process.memory_info().rss for process in processes)
                except psutil.NoSuchProcess:  # it has crashed, which the page's calls report
                    return
                peak.page, peak.gpu, peak.both = max(peak.page, page), max(peak.gpu, gpu), max(peak.both, page + gpu)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield peak
        finally:
            done.set()
            sampler.join()


def page_process(browser: Browser, page: Page) -> int:
    """Chromium keeps spare renderers and does not say which one is the page's: it is the one that can be kept busy, twice.

    A spare one, at its start, may use more of a busy computer than the page gets; but it starts only once.
    """
    found = None
    while True:
        before = _processor_seconds(browser, "renderer")
        page.evaluate(BUSY)
        after = _processor_seconds(browser, "renderer")
        spent = {process: after[process] - before.get(process, 0.0) for process in after}
        first, *others = sorted(spent, key=spent.__getitem__, reverse=True)
        clear = all(spent[first] > CLEARLY * spent[other] for other in others)
        if clear and first == found:
            return first
        found = first if clear else None


def _processor_seconds(browser: Browser, kind: str) -> dict[int, float]:
    """Processor time so far of the browser's processes of a kind, by their id."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return {process["id"]: process["cpuTime"] for process in processes if process["type"] == kind}
