"""Conversations, aborts, unloads and loads in a row leave no worker and no linear memory behind."""
from pathlib import Path

import pytest

from bench.processes import page_process
from tests.fixtures.sites import EnginePage, manifest_of
from tests.fixtures.wasm_models import MODEL

PROMPT = [2, *range(265, 285)]
ROUNDS = 20


def wait_for_workers(engine: EnginePage, count: int) -> None:
    """Ending a worker takes the browser a moment."""
    for _ in range(100):
        if len(engine.page.workers) == count:
            return
        engine.page.wait_for_timeout(50)
    raise AssertionError(f"expected {count} workers, found {[worker.url for worker in engine.page.workers]}")


def linear_memories(process: int, size: int) -> int:
    """How many linear memories of `size` bytes the page's process holds: each is a mapping of its own, between two that nobody may touch."""
    maps = Path(f"/proc/{process}/maps")
    if not maps.is_file():
        pytest.skip("only Linux tells what a process has mapped")
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps.read_text().splitlines()]
    return sum(end - start == size for start, end in ranges)


def unload(engine: EnginePage) -> None:
    engine.page.evaluate("engine.unload().then(() => { globalThis.engine = undefined; })")


@pytest.mark.parametrize("threads", [1, 2])
def test_twenty_conversations_with_aborts_unloads_and_loads_leave_nothing_behind(browser, wasm_engine, wasm_site, threads):
    process = page_process(browser, wasm_engine.page)
    size = manifest_of(wasm_site / "models" / MODEL)["wasm"]["memory_bytes"]
    before = linear_memories(process, size)
    for turn in range(ROUNDS):
        assert wasm_engine.load(MODEL, backend="wasm", threads=threads)["backend"]["module"]["memory_bytes"] == size
        if turn % 2:
            pieces = wasm_engine.stream(prompt=PROMPT, max_tokens=1000, temperature=0, ignore_eos=True, abort_after=3)
            assert pieces[-1]["choices"][0]["finish_reason"] == "abort"
        assert len(wasm_engine.tokens(PROMPT, 4)) == 4
        wait_for_workers(wasm_engine, threads)  # the engine's is one of them
        assert linear_memories(process, size) == before + 1
        if turn % 4 == 3:
            leave_in_the_midst_of_an_answer(wasm_engine)
        unload(wasm_engine)
        wait_for_workers(wasm_engine, 0)
        assert linear_memories(process, size) == before, f"after unload {turn + 1}"


def leave_in_the_midst_of_an_answer(engine: EnginePage) -> None:
    engine.page.evaluate("""async (prompt) => {
        const stream = await engine.completions.create({ prompt, max_tokens: 1000, ignore_eos: true, stream: true });
        await stream[Symbol.asyncIterator]().next();
    }""", PROMPT)
