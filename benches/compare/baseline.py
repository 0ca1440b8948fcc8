# SPDX-License-Identifier: Apache-2.0
"""What has changed since an earlier report."""

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

from .figures import VERDICT_ROUNDS, ratio_number
from .tables import Row, is_skua

# A change below this is noise, whatever the rounds say: placement of code alone moves rows by as much.
_LEAST_CHANGE = 0.05


class NotComparable(Exception):
    """The file is no report.json of scripts/compare, or of another kind of session. Says why."""


@dataclasses.dataclass(frozen=True)
class Change:
    row: str
    to: str  # The peer that both were compared with.
    before: float
    now: float
    beyond_noise: bool = False
    better: str = "less"  # Of the ratio, as figures.better() says it of the figure.
    ignored: str = ""  # Why it has no part in the verdict, if it has none.

    @property
    def is_worse(self) -> bool:
        return self.beyond_noise and (self.now > self.before) == (self.better == "less")

    @property
    def decides(self) -> bool:
        return not self.ignored


def check(baseline: Any, sizes: str, workers: int, rows: Sequence[Row]) -> None:
    """Before anything is measured. Raises NotComparable."""
    try:
        context = baseline["context"]
        for what, before, now in (
            ("sizes", context["sizes"], sizes),
            ("workers", context["workers"], workers),
        ):
            if before != now:
                raise NotComparable(f"from other {what}: {before} there, {now} here")
        figures = {ratio["row"]: ratio["figure"] for ratio in baseline["ratios"]}
        if _rounds(baseline) < 1 or not all(isinstance(v, str) for v in _versions(baseline)):
            raise ValueError("rounds or competitors")
        for ratio in baseline["ratios"]:
            if not 0 < ratio["min"] <= ratio["median"] <= ratio["max"]:
                raise ValueError(f"a ratio to {ratio['to']}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotComparable(f"no report of scripts/compare: {error!r}") from error
    for row in rows:
        before = figures.get(row.name, row.figure)
        if before != row.figure:
            raise NotComparable(
                f"from other figures: {row.name} by {before} there, by {row.figure} here"
            )
    if not any(row.name in figures for row in rows):
        raise NotComparable("without a ratio of any of these rows")


def _rounds(report: dict[str, Any]) -> int:
    return int(report["context"]["rounds"])


def _versions(report: dict[str, Any]) -> dict[str, str]:
    return dict(report["context"]["competitors"])


def changed_versions(
    baseline: dict[str, Any], report: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Of the peers in both: what they were, and what they are."""
    before, now = _versions(baseline), _versions(report)
    return {
        name: (before[name], now[name])
        for name in now
        if not is_skua(name) and name in before and before[name] != now[name]
    }


def has_rounds(baseline: dict[str, Any], report: dict[str, Any]) -> bool:
    """Enough of them, on both sides, for a verdict."""
    return min(_rounds(baseline), _rounds(report)) >= VERDICT_ROUNDS


def changes_since(baseline: dict[str, Any], report: dict[str, Any]) -> list[Change]:
    """Of all ratios that both reports have. Ratios, because times of two sittings do not compare.

    Beyond noise: the rounds of the two do not overlap, and the medians differ by more than 5 %.
    """
    other_versions = changed_versions(baseline, report)
    before = {(ratio["row"], ratio["to"], ratio["figure"]): ratio for ratio in baseline["ratios"]}
    changes = []
    for now in report["ratios"]:
        old = before.get((now["row"], now["to"], now["figure"]))
        if old is None:
            continue
        rounds = min(
            old.get("rounds", _rounds(baseline)),
            now.get("rounds", _rounds(report)),
        )
        ignored = ""
        if is_skua(now["to"]):
            ignored = "Skua's own"
        elif now["to"] in other_versions:
            ignored = "another version"
        elif rounds < VERDICT_ROUNDS:
            ignored = "too few rounds"
        elif old.get("failed") or now.get("failed"):
            ignored = "failed"
        apart = now["min"] > old["max"] or now["max"] < old["min"]
        moved = abs(now["median"] / old["median"] - 1) > _LEAST_CHANGE
        changes.append(
            Change(
                now["row"],
                now["to"],
                old["median"],
                now["median"],
                beyond_noise=apart and moved,
                better=now.get("better", "less"),
                ignored=ignored,
            )
        )
    return changes


@dataclasses.dataclass(frozen=True)
class Verdict:
    """On a row: it is worse if more than half of the peers that decide say so.

    One peer alone may have had a bad day, then or now; what Skua lost shows beside all of them.
    """

    row: str
    worse: int  # Peers beside which Skua has become worse.
    better: int
    peers: int  # That decide.

    @property
    def is_regression(self) -> bool:
        return 2 * self.worse > self.peers

    def __str__(self) -> str:
        if self.peers == 0:
            return f"{self.row}: no verdict"
        if self.is_regression:
            return f"{self.row}: WORSE, beside {self.worse} of {self.peers} peers"
        if 2 * self.better > self.peers:
            return f"{self.row}: better, beside {self.better} of {self.peers} peers"
        return f"{self.row}: no change beyond noise"


def verdicts_on(changes: Sequence[Change]) -> list[Verdict]:
    verdicts = []
    for row in dict.fromkeys(change.row for change in changes):
        deciding = [change for change in changes if change.row == row and change.decides]
        worse = sum(change.is_worse for change in deciding)
        moved = sum(change.beyond_noise for change in deciding)
        verdicts.append(Verdict(row, worse, moved - worse, len(deciding)))
    return verdicts


def changes_table(changes: Sequence[Change]) -> list[list[str]]:
    table = [["row", "competitor", "before", "now", "change", "", "does not count"]]
    for change in changes:
        moved = "" if not change.beyond_noise else "worse" if change.is_worse else "better"
        table.append(
            [
                change.row,
                change.to,
                ratio_number(change.before),
                ratio_number(change.now),
                f"{change.now / change.before - 1:+.0%}",
                moved,
                change.ignored,
            ]
        )
    return table
