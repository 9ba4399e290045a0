"""How gemlet does beside others: times the fastest of them, and times itself on one thread, next to what the computer gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.engines import WASM, Engine
from bench.measure import Answer, Round
from bench.processor import Pace
from bench.summary import cell, number, spread

OURS = "gemlet"
GIGA = 1e9


def compared(rounds: Mapping[Engine, Sequence[Round]], lengths: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """A row for each of gemlet's engines and prompts that another engine of its backend and threads was measured with. lengths: by backend."""
    rows = []
    for engine in rounds:
        others = [other for other in rounds if other.name != OURS and (other.backend, other.threads) == (engine.backend, engine.threads)]
        if engine.name != OURS or not others:
            continue
        for i, length in enumerate(lengths[engine.backend]):
            row = [engine.title, str(length)]
            for rate in (_prefill, _decode):
                fastest = max(others, key=lambda other: _median(rounds[other], i, rate))
                row.append(f"{number(_median(rounds[engine], i, rate) / _median(rounds[fastest], i, rate))} ({fastest.name})")
            rows.append(row)
    return rows


def paces(rounds: Mapping[Engine, Sequence[Round]], computer: Sequence[Mapping[int, Pace]], weight_bytes: int) -> list[tuple[str, int, list[str]]]:
    """For gemlet's engines on the processor: threads, number of the prompt, and cells of the table "gemlet wasm and the computer"."""
    ours = {engine.threads: rounds[engine] for engine in rounds if (engine.name, engine.backend) == (OURS, WASM)}
    found = []
    for threads, each in ours.items():
        memory = median(pace[threads].memory for pace in computer)
        for i in range(len(each[0].answers)):
            read = _median(each, i, _decode) * weight_bytes
            one = [number(_median(each, i, rate) / _median(ours[1], i, rate)) if 1 in ours else "-" for rate in (_decode, _prefill)]
            found.append((str(threads), i, [number(read / GIGA), number(memory / GIGA), f"{100 * read / memory:.0f} %", *one]))
    return found


def threads_of(computer: Sequence[Mapping[int, Pace]]) -> list[list[str]]:
    """A row for each number of threads of the table "Threads of the computer"; the pace of a round is compared with that of one thread in the same round."""
    rows = []
    for threads in computer[0] if computer else ():
        row = [str(threads)]
        for of in (lambda pace: pace.memory, lambda pace: pace.products):
            row.append(cell(spread([of(pace[threads]) / GIGA for pace in computer])))
            row.append(cell(spread([of(pace[threads]) / of(pace[1]) for pace in computer])) if 1 in computer[0] else "-")
        rows.append(row)
    return rows


def _prefill(answer: Answer) -> float:
    return answer.prefill_rate


def _decode(answer: Answer) -> float:
    return answer.decode_rate


def _median(rounds: Sequence[Round], i: int, rate: Callable[[Answer], float]) -> float:
    return median(rate(each.answers[i]) for each in rounds)
