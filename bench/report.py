"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.browser import Adapter
from bench.comparison import compared, paces, threads_of
from bench.engines import NOT_MEASURED, WEBGPU, Engine
from bench.measure import Round
from bench.processor import Pace
from bench.summary import cell, number, spread

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

CALLS = {
    "dispatches": "dispatches",
    "bind_groups": "bind groups",
    "pipelines": "pipelines",
    "buffers": "buffers",
    "writes": "writes",
    "submits": "submits",
    "maps": "maps",
}


@dataclass(frozen=True)
class Settings:
    """What was measured with: tokens of each prompt, tokens decoded after each, rounds asked for."""

    prompt_lengths: Sequence[int]
    tokens: int
    rounds: int


@dataclass(frozen=True)
class Results:
    """By engine its rounds, or why there are none; and the plans of `plan_counts` by model. settings: by backend. computer: by round what
    the computer gives, by threads. weight_bytes: of the default model, a decoded token."""

    settings: Mapping[str, Settings]
    adapter: Adapter
    processor: str
    rounds: Mapping[Engine, Sequence[Round]]
    not_measured: Mapping[str, str]
    plans: Mapping[str, Mapping[str, int]]
    computer: Sequence[Mapping[int, Pace]]
    weight_bytes: int


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; a `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def format_results(results: Results) -> str:
    """The whole of results.md."""
    adapter = results.adapter
    lines = [
        "# Results",
        "",
        "Written by `python build.py bench`; [README.md](README.md) says what each figure is and how to read it.",
        "",
        f"Gemma 3 270M, the default model. Adapter: {adapter.name}. Browser: Chromium {adapter.browser}. Processor: {results.processor}.",
        *[_of_backend(backend, settings) for backend, settings in results.settings.items()],
        "A figure is the median of the rounds, with least and most in brackets.",
        "",
        "## Loading, memory and threads",
        "",
        *table(*_loading(results)),
        "",
        *_modules(results),
        "## Speed",
        "",
        *table(*_speed(results)),
        "",
        *_comparison(results),
        "## Calls to WebGPU a decoded token",
        "",
        *table(*_calls(results)),
        "",
        "## Answers",
        "",
        "Weights are rounded and sums are taken in other ways, so that a model this small soon says something else.",
        "",
        *table(*_answers(results)),
        "",
        "## Not measured",
        "",
        *[f"- {name}: {reason}" for name, reason in (NOT_MEASURED | dict(results.not_measured)).items()],
        "",
        "## Gemma 4: what `plan` counts",
        "",
        "Weights in `q4`, as 4-bit numbers in blocks of 32 with a scale each.",
        "",
        *table(*_plans(results)),
    ]
    return "\n".join(lines) + "\n"


def _of_backend(backend: str, settings: Settings) -> str:
    lengths = ", ".join(map(str, settings.prompt_lengths))
    return f"On {backend}: {settings.rounds} round{'' if settings.rounds == 1 else 's'}, engines in turn; {settings.tokens} tokens decoded greedily after prompts of {lengths} tokens."


def _figure(rounds: Sequence[Round], value: Callable[[Round], float | None]) -> str:
    return cell(spread([figure for each in rounds if (figure := value(each)) is not None]))


def _loading(results: Results) -> tuple[list[str], list[list[str]]]:
    head = ["engine", "load, s", "first answer, s", "page's thread, ms a token", "workers' threads, ms a token"]
    head += ["page's memory, MiB", "GPU process's, MiB", "both, MiB"]
    rows = [
        [
            engine.title,
            _figure(rounds, lambda each: each.load / 1000),
            _figure(rounds, lambda each: each.first_answer / 1000),
            _figure(rounds, lambda each: each.page_thread_per_token),
            _figure(rounds, lambda each: each.worker_threads_per_token),
            _figure(rounds, lambda each: each.memory.page / MEBIBYTE),
            _figure(rounds, lambda each: each.memory.gpu / MEBIBYTE),
            _figure(rounds, lambda each: each.memory.both / MEBIBYTE),
        ]
        for engine, rounds in results.rounds.items()
    ]
    return head, rows


def _modules(results: Results) -> list[str]:
    """Nothing where no engine tells of a module."""
    head = ["engine", "module", "its size, KiB", "fetched and compiled, ms", "linear memory, MiB"]
    rows = [
        [
            engine.title,
            f"`{rounds[0].module.file}`",
            number(rounds[0].module.bytes / KIBIBYTE),
            _figure(rounds, lambda each: each.module.compile),
            number(rounds[0].module.memory / MEBIBYTE),
        ]
        for engine, rounds in results.rounds.items()
        if rounds[0].module
    ]
    return ["## WebAssembly", "", *table(head, rows), ""] if rows else []


def _speed(results: Results) -> tuple[list[str], list[list[str]]]:
    head = ["engine", "prompt, tokens", "to the first token, s", "prefill, tokens/s", "decode, tokens/s"]
    rows = [
        [
            engine.title,
            str(length),
            _figure(rounds, lambda each, i=i: each.answers[i].first_token / 1000),
            _figure(rounds, lambda each, i=i: each.answers[i].prefill_rate),
            _figure(rounds, lambda each, i=i: each.answers[i].decode_rate),
        ]
        for backend, settings in results.settings.items()
        for i, length in enumerate(settings.prompt_lengths)
        for engine, rounds in results.rounds.items()
        if engine.backend == backend
    ]
    return head, rows


def _comparison(results: Results) -> list[str]:
    """gemlet beside the fastest of the others at the same thing, and beside the memory that it reads weights from."""
    lines = []
    rows = compared(results.rounds, {key: each.prompt_lengths for key, each in results.settings.items()})
    if rows:
        lines += ["## gemlet beside the fastest other engine", "", "Medians; the same backend and number of threads.", ""]
        lines += [*table(["engine", "prompt, tokens", "prefill, times", "decode, times"], rows), ""]
    rows = paces(results.rounds, results.computer, results.weight_bytes)
    if rows:
        head = ["threads", "prompt, tokens", "weights read, GB/s", "the memory gives, GB/s", "share", "decode, times one thread", "prefill, times one thread"]
        lengths = results.settings["wasm"].prompt_lengths
        lines += ["## gemlet wasm and the computer", "", *table(head, [[threads, str(lengths[i]), *row] for threads, i, row in rows]), ""]
        head = ["threads", "read of memory, GB/s", "times one thread", "multiply-accumulates in the nearest cache, G/s", "times one thread"]
        lines += ["## Threads of the computer", "", *table(head, threads_of(results.computer)), ""]
    return lines


def _calls(results: Results) -> tuple[list[str], list[list[str]]]:
    rows = [
        [engine.title, *(_figure(rounds, lambda each, name=name: each.calls_per_token[name]) for name in CALLS)]
        for engine, rounds in results.rounds.items()
        if engine.backend == WEBGPU
    ]
    return ["engine", *CALLS.values()], rows


def _answers(results: Results) -> tuple[list[str], list[list[str]]]:
    rows = [
        [engine.title, engine.weights, f"`{rounds[0].answers[0].text!r}`"] for engine, rounds in results.rounds.items()
    ]
    return ["engine", "weights", "the answer to the first prompt"], rows


def _plans(results: Results) -> tuple[list[str], list[list[str]]]:
    head = ["model", "launches a decoded token", "kernels", "weights, GiB", "read a token, GiB", "multiply-accumulates a token, G"]
    rows = [
        [
            model,
            str(plan["launches_per_decoded_token"]),
            str(plan["kernels"]),
            number(plan["weight_bytes"] / GIBIBYTE),
            number(plan["weight_bytes_per_decoded_token"] / GIBIBYTE),
            number(plan["macs_per_decoded_token"] / 1e9),
        ]
        for model, plan in results.plans.items()
    ]
    return head, rows
