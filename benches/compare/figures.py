# SPDX-License-Identifier: Apache-2.0
"""What the runs of a session come to: medians, ratios, spreads."""

from __future__ import annotations

import dataclasses
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

    @property
    def crosses_one(self) -> bool:
        """Of ratios: the rounds do not agree on who is faster."""
        return self.least <= 1 <= self.most


def spread_of(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


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
