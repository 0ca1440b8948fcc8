# SPDX-License-Identifier: Apache-2.0
"""What has changed since an earlier report."""

from __future__ import annotations

import dataclasses
from typing import Any

# A change below this is noise, whatever the rounds say: placement of code alone moves rows by as much.
_LEAST_CHANGE = 0.05


class NotAReport(Exception):
    """The file is no report.json of scripts/compare."""


@dataclasses.dataclass(frozen=True)
class Change:
    row: str
    to: str  # The peer that both were compared with.
    before: float
    now: float
    beyond_noise: bool

    @property
    def is_regression(self) -> bool:
        return self.beyond_noise and self.now > self.before


def changes_since(baseline: Any, report: dict[str, Any]) -> list[Change]:
    """Of all ratios that both reports have. Ratios, because times of two sittings do not compare.

    Beyond noise: the rounds of the two do not overlap, and the medians differ by more than 5 %.
    """
    try:
        before = {
            (ratio["row"], ratio["to"], ratio["figure"]): ratio for ratio in baseline["ratios"]
        }
        changes = []
        for now in report["ratios"]:
            old = before.get((now["row"], now["to"], now["figure"]))
            if old is None:
                continue
            apart = now["min"] > old["max"] or now["max"] < old["min"]
            moved = abs(now["median"] / old["median"] - 1) > _LEAST_CHANGE
            medians = (old["median"], now["median"])
            changes.append(Change(now["row"], now["to"], *medians, beyond_noise=apart and moved))
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise NotAReport(f"no report of scripts/compare: {error!r}") from error
    return changes


def changes_table(changes: list[Change]) -> list[list[str]]:
    table = [["row", "competitor", "before", "now", "change", ""]]
    for change in changes:
        verdict = "" if not change.beyond_noise else "WORSE" if change.is_regression else "better"
        table.append(
            [
                change.row,
                change.to,
                f"{change.before:.2f}",
                f"{change.now:.2f}",
                f"{change.now / change.before - 1:+.0%}",
                verdict,
            ]
        )
    return table
