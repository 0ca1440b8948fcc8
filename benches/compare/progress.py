# SPDX-License-Identifier: Apache-2.0
"""How far a session is, and how long it will still take."""

from __future__ import annotations

import statistics
import sys
from typing import Sequence, TextIO

_BAR_CELLS = 20


class Schedule:
    """Knows how long runs take, once they have run, and so what is left."""

    _UNKNOWN_S = 5.0

    def __init__(self, pending: Sequence[tuple[str, str]]):
        self._pending = list(pending)  # (what, competitor) of each run to come.
        self._total = len(self._pending)
        self._seconds: dict[tuple[str, str], float] = {}

    def done(self, what: str, competitor: str, seconds: float) -> None:
        self._pending.remove((what, competitor))
        self._seconds[(what, competitor)] = seconds

    def dropped(self, what: str, competitor: str) -> None:
        self._pending = [run for run in self._pending if run != (what, competitor)]

    def last_s(self, what: str, competitor: str) -> float | None:
        return self._seconds.get((what, competitor))

    def _guess_s(self, run: tuple[str, str]) -> float:
        if run in self._seconds:
            return self._seconds[run]
        known = [s for (what, _), s in self._seconds.items() if what == run[0]]
        return statistics.median(known or list(self._seconds.values()) or [self._UNKNOWN_S])

    def progress(self) -> str:
        done = self._total - len(self._pending)
        cells = _BAR_CELLS * done // max(self._total, 1)
        left_s = sum(self._guess_s(run) for run in self._pending)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        bar = "#" * cells + "." * (_BAR_CELLS - cells)
        return f"[{bar}] {done}/{self._total}, about {left} left"


class Console:
    """Tells what happens: on a terminal, progress stays in one line; elsewhere, each has its own."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()
        self._is_open = False  # The last line is progress, which the next one replaces.

    def say(self, text: str) -> None:
        self._write(text, "\n")

    def progress(self, text: str) -> None:
        self._write(text, "" if self._in_place else "\n")
        self._is_open = self._in_place

    def close(self) -> None:
        """Ends the line of progress, if there is one."""
        if self._is_open:
            self._stream.write("\n")
            self._is_open = False

    def _write(self, text: str, end: str) -> None:
        erase = "\r\x1b[2K" if self._is_open else ""
        self._is_open = False
        self._stream.write(erase + text + end)
        self._stream.flush()
