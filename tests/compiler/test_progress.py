"""The progress bars, as lines where the output is no terminal."""

import io

from rich.console import Console

from compiler.progress import BarProgress, SilentProgress


def lines(*steps: tuple[str, int | None, str, list[int]]) -> list[str]:
    output = io.StringIO()
    progress = BarProgress(Console(file=output, width=120))
    for title, total, unit, amounts in steps:
        with progress.phase(title, total, unit) as phase:
            for amount in amounts:
                phase.advance(amount)
    return output.getvalue().splitlines()


def test_each_phase_is_one_line_with_its_amount_and_unit():
    first, second = lines(("Kernels", 3, "kernels", [1, 2]), ("Steps", 2, "steps", [1, 1]))
    assert "Kernels" in first and "3/3 kernels" in first
    assert "Steps" in second and "2/2 steps" in second


def test_bytes_are_shown_as_sizes():
    (line,) = lines(("Weights", 3 * 2**20, "bytes", [2**20, 2**21]))
    assert "3.0/3.0 MiB" in line


def test_a_phase_without_a_total_ends_complete():
    (line,) = lines(("Files", None, "files", [1, 1, 1]))
    assert "3/3 files" in line


def test_a_phase_without_any_units_shows_none():
    (line,) = lines(("Lowering", None, "steps", []))
    assert "Lowering" in line and "steps" not in line


def test_a_phase_that_stops_early_says_so():
    (line,) = lines(("Kernels", 3, "kernels", [1]))
    assert "1/3 kernels" in line


def test_silence_prints_nothing(capsys):
    with SilentProgress().phase("Kernels", 3, "kernels") as phase:
        phase.advance(3)
    assert capsys.readouterr() == ("", "")
