"""`python build.py bench`: prepares, measures in rounds, and writes bench/results.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright
from tokenizers import Tokenizer

from bench.browser import Adapter, find_adapter
from bench.engines import WASM, WEBGPU, Engine, engines
from bench.measure import NotMeasurable, Round, measure
from bench.processor import Pace, built_processor
from bench.prompts import Prompt, prompts
from bench.report import Results, Settings, format_results
from bench.site import BENCH, BLANK, prepare_site
from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.default_model import default_model_path
from compiler.default_site import NAME
from compiler.errors import GemletError
from compiler.plan import plan_model
from compiler.progress import BarProgress, SilentProgress
from compiler.serve import serving
from compiler.setup.chromium import ensure_chromium
from compiler.setup.folders import CACHE, PROJECT

RESULTS = BENCH / "results.md"
CONFIGS = PROJECT / "tests" / "fixtures" / "configs"

# What is measured unless the command line says otherwise, by what computes: engines on WebGPU take minutes a token without a GPU.
DEFAULTS = {"hardware": Settings((6, 234, 1000), 32, 5), "swiftshader": Settings((6, 234), 3, 2), "processor": Settings((6, 234, 1000), 32, 5)}


def write_results(
    names: Sequence[str] | None,
    adapter_kind: str,
    lengths: Sequence[int] | None,
    tokens: int | None,
    rounds: int | None,
    threads: Sequence[int],
) -> Path:
    """Measures the engines whose names begin with one of `names` (None: all) and writes RESULTS, which it returns.

    Raises GemletError where something that all of them need is missing.
    """
    chosen = choose(engines(threads), names)
    ensure_chromium(CACHE)
    site = prepare_site(chosen, BarProgress())
    with serving(site) as address, sync_playwright() as playwright:
        adapter = find_adapter(playwright, address + BLANK, adapter_kind)
        settings = {
            backend: Settings(lengths or defaults.prompt_lengths, tokens or defaults.tokens, rounds or defaults.rounds)
            for backend, defaults in {WEBGPU: DEFAULTS[adapter.kind], WASM: DEFAULTS["processor"]}.items()
            if any(engine.backend == backend for engine in chosen)
        }
        tokenizer = Tokenizer.from_file(str(site / "gemlet" / "models" / NAME / "tokenizer.json"))
        asked = {backend: prompts(tokenizer, each.prompt_lengths) for backend, each in settings.items()}
        print(f"adapter: {adapter.name}", flush=True)
        computer: list[Mapping[int, Pace]] = []
        with built_processor() as processor:
            measured, failed = measure_rounds(playwright, chosen, adapter, address, asked, settings, lambda: computer.append(processor.measure(threads)))
    plans = {config.stem: plan_model(open_checkpoint(config), "q4", None) for config in sorted(CONFIGS.glob("*.json"))}
    of_default = plan_model(open_checkpoint(default_model_path(CACHE, SilentProgress())), "auto", None)
    results = Results(settings, adapter, _processor(), measured, failed, plans, computer, of_default["weight_bytes_per_decoded_token"])
    RESULTS.write_text(format_results(results), encoding="utf-8")
    return RESULTS


def choose(found: Sequence[Engine], names: Sequence[str] | None) -> list[Engine]:
    """The engines whose title begins with one of `names`. Raises GemletError for a name that none begins with."""
    for name in names or []:
        if not any(engine.title.startswith(name) for engine in found):
            titles = ", ".join(f'"{engine.title}"' for engine in found)
            raise GemletError(f"--engines: expected the beginning of one of {titles}, found {name!r}")
    return [engine for engine in found if names is None or engine.title.startswith(tuple(names))]


def measure_rounds(
    playwright: Playwright,
    chosen: Sequence[Engine],
    adapter: Adapter,
    address: str,
    asked: Mapping[str, Sequence[Prompt]],
    settings: Mapping[str, Settings],
    measure_computer: Callable[[], None],
) -> tuple[Mapping[Engine, Sequence[Round]], Mapping[str, str]]:
    """Rounds by engine, and by the title of an engine that failed the reason. The engines take turns. asked, settings: by backend. measure_computer: called at the
    beginning of each round of engines on the processor.

    An engine that fails once is left out from then on, since its rounds would not be comparable.
    """
    measured: dict[str, list[Round]] = {engine.title: [] for engine in chosen}
    failed: dict[str, str] = {}
    for number in range(1, max(each.rounds for each in settings.values()) + 1):
        if WASM in settings and number <= settings[WASM].rounds:
            measure_computer()
        for engine in chosen:
            if engine.title in failed or number > settings[engine.backend].rounds:
                continue
            try:
                each = measure(playwright, engine, adapter, address, asked[engine.backend], settings[engine.backend].tokens)
            except NotMeasurable as error:
                failed[engine.title] = str(error)
                print(f"round {number}, {engine.title}: not measured: {error}", flush=True)
                continue
            measured[engine.title].append(each)
            rates = ", ".join(f"{answer.decode_rate:.2f}" for answer in each.answers)
            print(f"round {number}, {engine.title}: {rates} tokens a second", flush=True)
    return {engine: measured[engine.title] for engine in chosen if engine.title not in failed}, failed


def _processor() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
