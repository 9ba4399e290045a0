"""How the compiler tells what it is doing: a bar a phase on a terminal, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichDisplay
from rich.progress import TimeElapsedColumn
from rich.text import Text


class Phase(Protocol):
    """A phase under way."""

    def advance(self, n: int) -> None:
        """Says that `n` more units are done."""
        ...


class Progress(Protocol):
    """Receives the progress of a longer work."""

    def phase(self, title: str, total: int | None, unit: str) -> AbstractContextManager[Phase]:
        """A phase of `total` units (None: not known yet). `unit` is a plural noun; "bytes" are shown as sizes."""
        ...

    def note(self, text: str) -> None:
        """Tells something that the user should know, though it is no error."""
        ...


class _SilentPhase:
    def advance(self, n: int) -> None:
        pass


class SilentProgress:
    """Shows nothing: for tests and for callers that print something else."""

    @contextmanager
    def phase(self, title: str, total: int | None, unit: str) -> Iterator[Phase]:
        yield _SilentPhase()

    def note(self, text: str) -> None:
        pass


class _BarPhase:
    def __init__(self, display: RichDisplay, task: TaskID) -> None:
        self._display = display
        self._task = task

    def advance(self, n: int) -> None:
        self._display.advance(self._task, n)


class BarProgress:
    """A bar a phase, on standard error so that what a command prints can be piped.

    Where that is no terminal, each phase is one line, written when the phase ends.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    @contextmanager
    def phase(self, title: str, total: int | None, unit: str) -> Iterator[Phase]:
        with RichDisplay(*_columns(total, unit), console=self._console) as display:
            task = display.add_task(title, total=total)
            yield _BarPhase(display, task)
            # A phase whose total was not known is complete now, with whatever it did.
            display.update(task, total=display.tasks[task].completed if total is None else total)

    def note(self, text: str) -> None:
        self._console.print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)


class _AmountColumn(ProgressColumn):
    """Units done, of how many where that is known."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        if task.total:
            return Text(f"{task.completed:.0f}/{task.total:.0f} {self._unit}")
        return Text(f"{task.completed:.0f} {self._unit}" if task.completed else "")


def _columns(total: int | None, unit: str) -> list[ProgressColumn]:
    amount: ProgressColumn = DownloadColumn(binary_units=True) if unit == "bytes" else _AmountColumn(unit)
    first: ProgressColumn = SpinnerColumn() if total is None else TextColumn(" ")
    return [first, TextColumn("{task.description:<28}"), BarColumn(bar_width=30), amount, TimeElapsedColumn()]
