"""The figures of several rounds as one: a median, and how far the rounds were apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and most of the rounds."""

    median: float
    least: float
    most: float
    rounds: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of the values of all rounds; None without any. Order does not matter."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


def per_token(many: float, one: float, tokens: int) -> float:
    """What one decoded token costs, from what an answer of `tokens` tokens and one of a single token cost.

    The prompt, the first token and whatever is done once an answer cancel out.
    """
    return (many - one) / (tokens - 1)


def decode_rate(times: Sequence[float]) -> float:
    """Tokens a second after the first one, from the time of each token in milliseconds; at least two."""
    return 1000 * (len(times) - 1) / (times[-1] - times[0])


def number(value: float) -> str:
    """Three significant digits or the whole number, for people."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".")


def cell(figure: Spread | None) -> str:
    """The text of a table's cell: the median and, where rounds differ, least and most in brackets."""
    if figure is None:
        return "-"
    median, least, most = map(number, (figure.median, figure.least, figure.most))
    return median if least == most else f"{median} ({least} … {most})"
