"""Conversations, aborts, unloads and loads in a row leave no worker and no linear memory behind."""
import json
import shutil
from pathlib import Path

import pytest

from bench.processes import page_process
from tests.fixtures.sites import EnginePage, manifest_of
from tests.fixtures.waiting import wait_until
from tests.fixtures.wasm_models import MODEL

PROMPT = [2, *range(265, 285)]
ROUNDS = 20
PAGE = 65536
COPY = "much-memory"


def linear_memories(process: int, size: int) -> int:
    """How many linear memories of `size` bytes the page's process holds: each is a mapping of its own, between two that nobody may touch."""
    maps = Path(f"/proc/{process}/maps")
    if not maps.is_file():
        pytest.skip("only Linux tells what a process has mapped")
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps.read_text().splitlines()]
    return sum(end - start == size for start, end in ranges)


def add_copy_with_much_memory(site: Path) -> int:
    """A copy of the model with more linear memory than it needs, by a number of pages that no other mapping has by chance. Gives all its bytes."""
    copy = shutil.copytree(site / "models" / MODEL, site / "models" / COPY, dirs_exist_ok=True)
    manifest = manifest_of(copy)
    manifest["wasm"]["memory_bytes"] += 641 * PAGE
    (copy / "model.json").write_text(json.dumps(manifest))
    return manifest["wasm"]["memory_bytes"]


def unload(engine: EnginePage) -> None:
    engine.page.evaluate("engine.unload().then(() => { globalThis.engine = undefined; })")


@pytest.mark.parametrize("threads", [1, 2])
def test_twenty_conversations_with_aborts_unloads_and_loads_leave_nothing_behind(browser, wasm_engine, wasm_site, threads):
    process = page_process(browser, wasm_engine.page)
    size = add_copy_with_much_memory(wasm_site)
    before = linear_memories(process, size)

    def workers_and_memories() -> tuple[int, int]:
        return len(wasm_engine.page.workers), linear_memories(process, size) - before

    for turn in range(ROUNDS):
        assert wasm_engine.load(COPY, backend="wasm", threads=threads)["backend"]["module"]["memory_bytes"] == size
        if turn % 2:
            pieces = wasm_engine.stream(prompt=PROMPT, max_tokens=1000, temperature=0, ignore_eos=True, abort_after=3)
            assert pieces[-1]["choices"][0]["aborted"]
        assert len(wasm_engine.tokens(PROMPT, 4)) == 4
        wait_until(wasm_engine.page, (threads, 1), workers_and_memories)  # the engine's worker is one of them
        if turn % 4 == 3:
            leave_in_the_midst_of_an_answer(wasm_engine)
        unload(wasm_engine)
        wait_until(wasm_engine.page, (0, 0), workers_and_memories)


def leave_in_the_midst_of_an_answer(engine: EnginePage) -> None:
    engine.page.evaluate("""async (prompt) => {
        const stream = await engine.completions.create({ prompt, max_tokens: 1000, ignore_eos: true, stream: true });
        await stream[Symbol.asyncIterator]().next();
    }""", PROMPT)
