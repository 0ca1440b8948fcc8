# SPDX-License-Identifier: Apache-2.0
"""What the runs of a session come to: medians, ratios, spreads."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Sequence


# Of a distribution: the figure's name, and which part of all values it leaves above it. 0: none.
LATENCIES = {
    "p10_us": 0.9,
    "p50_us": 0.5,
    "p90_us": 0.1,
    "p99_us": 0.01,
    "p999_us": 0.001,
    "p9999_us": 0.0001,
    "max_us": 0.0,
}


# All other figures are times, or bytes: less is better.
_MORE_IS_BETTER = ("requests_per_s", "low_share")
# Tell how far to trust a run, not how good it was.
_OF_THE_GENERATOR = ("load_late_p99_us",)

VERDICT_ROUNDS = 5  # Fewer rounds agree by chance too often.
_LEAST_DIFFERENCE = 0.02  # Of medians. Where the linker puts a loop makes as much.


def better(figure: str) -> str:
    """Which is better of this figure, "less" or "more"; "" if it judges nobody."""
    if figure in _OF_THE_GENERATOR:
        return ""
    return "more" if figure in _MORE_IS_BETTER else "less"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a row by a competitor."""

    round: int
    figures: dict[str, float]  # The line of JSON that the program printed.


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float
    quartiles: float = 0  # From the first quartile to the third.
    rounds: int = 1

    @property
    def crosses_one(self) -> bool:
        """Of ratios: the rounds do not agree on who is faster."""
        return self.least <= 1 <= self.most

    @property
    def is_noise(self) -> bool:
        """Of ratios: they are no verdict on who is faster. How often equals get one: benches/README.md."""
        noise = max(_LEAST_DIFFERENCE, self.quartiles / 2)
        return self.rounds < VERDICT_ROUNDS or self.crosses_one or not abs(self.median - 1) > noise


def spread_of(values: Sequence[float]) -> Spread:
    quartiles = 0.0
    if len(values) > 1:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        quartiles = third - first
    return Spread(statistics.median(values), min(values), max(values), quartiles, len(values))


def figure_of(runs: Sequence[Run], figure: str) -> Spread:
    return spread_of([run.figures[figure] for run in runs])


def ratio_of(runs: Sequence[Run], other_runs: Sequence[Run], figure: str) -> Spread | None:
    """The ratio of the first to the others, round by round: what slows a whole round down cancels.

    None if they have no round in common in which neither figure is 0.
    """
    others = {run.round: run.figures[figure] for run in other_runs}
    ratios = [
        run.figures[figure] / others[run.round]
        for run in runs
        if run.figures[figure] > 0 and others.get(run.round, 0) > 0
    ]
    return spread_of(ratios) if ratios else None


def ratio_number(value: float) -> str:
    """Two decimals; below 0.1, two digits."""
    decimals = 2 if value >= 0.1 else 1 - math.floor(math.log10(value))
    return f"{value:.{decimals}f}"
