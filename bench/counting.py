"""What a page and its workers ask of WebGPU, counted by count_webgpu.js in each of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from playwright.sync_api import Page

SCRIPT = (Path(__file__).parent / "count_webgpu.js").read_text(encoding="utf-8")


def webgpu_counts(page: Page) -> Counter[str]:
    """Calls so far, by what they make or do, in the page and the workers that it has now; the first call starts the counting.

    Every worker must be able to answer: one that waits for another thread, as those of wasm with threads do, never would.
    """
    total: Counter[str] = Counter()
    for realm in (page, *page.workers):
        total.update(realm.evaluate(SCRIPT))
    return total


def difference(after: Counter[str], before: Counter[str]) -> dict[str, int]:
    """Calls between two results of `webgpu_counts`, zeros included."""
    return {name: count - before[name] for name, count in after.items()}
