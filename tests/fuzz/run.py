"""Runs a range of inputs in worker processes, which are watched and started anew where they hang or die; counts the outcomes."""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from compiler.setup.folders import PROJECT

SECONDS = 10  # that an input may take
START_SECONDS = 120


@dataclass
class Result:
    """counts: by (kind of file, outcome). failures: (number of the input, kind of file, what is wrong)."""

    counts: Counter = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)

    def table(self) -> str:
        outcomes = ("refused", "same", "other", "FAILED")
        kinds = sorted({kind for kind, _ in self.counts})
        rows = [[kind, *(self.counts[kind, outcome] for outcome in outcomes)] for kind in kinds]
        rows.append(["all", *(sum(row[1 + place] for row in rows) for place in range(len(outcomes)))])
        lines = ["| file | refused | same as undamaged | read otherwise, as its library does | failures |", "| --- | ---: | ---: | ---: | ---: |"]
        return "\n".join(lines + ["| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in row) + " |" for row in rows])


def run(seed: int, first: int, count: int, plans: int = 0, report: Callable[[Result, int], None] | None = None) -> Result:
    """Tries inputs `first` to `first + count - 1`. plans: every so many accepted configurations are planned, too; 0: none."""
    result, number, end = Result(), first, first + count
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="gemlet-fuzz-", dir=shared if shared.is_dir() else None))
    try:
        while number < end:
            number = run_worker(seed, number, end, plans, place, result, report)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return result


def run_worker(seed: int, first: int, end: int, plans: int, place: Path, result: Result, report: Callable[[Result, int], None] | None) -> int:
    """Inputs until one ends the worker; returns the number of the next."""
    command = [sys.executable, "-m", "tests.fuzz.worker", *map(str, (seed, first, end - first, plans, place))]
    with open(place / "errors.txt", "w+b") as errors:
        worker = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda: [*map(lines.put, worker.stdout), lines.put("")], daemon=True).start()
        number, begun, wait = first - 1, False, START_SECONDS
        while True:
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                os.killpg(worker.pid, 9)
                worker.wait()
                problem = f"took more than {wait} seconds"
                break
            if not line:
                worker.wait()
                errors.seek(0)
                problem = f"ended the process with status {worker.returncode}: {errors.read().decode('utf-8', 'replace')[-300:]}"
                break
            wait = SECONDS
            if not line.startswith("["):
                number, begun = int(line), True
                continue
            kind, outcome, detail = json.loads(line)
            begun = False
            result.counts[kind, outcome] += 1
            if outcome == "FAILED":
                result.failures.append((number, kind, detail))
            if report is not None:
                report(result, number)
    if number + 1 == end and not begun:
        return end
    if not begun:
        raise RuntimeError(f"the worker {problem} before input {number + 1}")
    from tests.fuzz.inputs import Inputs

    kind = Inputs(seed).input(number).kind
    result.counts[kind, "FAILED"] += 1
    result.failures.append((number, kind, problem))
    return number + 1
