# SPDX-License-Identifier: Apache-2.0
"""Runs the competitors in turn: A B C A B C, so that what drifts on the machine meets all of them."""

from __future__ import annotations

import ctypes.util
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from typing import Callable, Sequence

from . import builds, echo
from .builds import BuildFailed, NotInstalled, Program, Workspace
from .figures import Run
from .tables import ROWS, Competitor, Row

RUN_TIMEOUT_S = 900
_EXIT_WRONG_ANSWER = 1
# What every program reports.
_FIGURES = ("ns_per_op", "wall_s", "ops", "cpu_s", "max_rss_kib")


class RunFailed(Exception):
    """A run that gave no figures. Says why."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A competitor whose program is there."""

    competitor: Competitor
    program: Program
    rows: frozenset[str]  # That the program has.
    environment: dict[str, str]
    load_program: pathlib.Path | None = None  # Of a server: what asks it.

    def program_row(self, row: Row) -> str:
        return row.peer_row if self.competitor.is_peer and row.peer_row else row.name

    def has(self, row: Row) -> bool:
        return self.program_row(row) in self.rows


@dataclasses.dataclass
class Results:
    """Of a session. Runs by row, then by competitor, both in the order of their tables."""

    runs: dict[str, dict[str, list[Run]]] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)
    foreign_cpu_s: float = 0  # What other processes used while ours ran.
    available_cpu_s: float = 0

    @property
    def foreign_share(self) -> float:
        return self.foreign_cpu_s / self.available_cpu_s if self.available_cpu_s > 0 else 0


def enter(competitor: Competitor, workspace: Workspace) -> Entrant:
    """Builds the competitor's program. Raises NotInstalled or BuildFailed."""
    environment = {}
    if competitor.preload:
        library = ctypes.util.find_library(competitor.preload)
        if not library:  # The loader would only warn, and go on with the usual malloc.
            raise NotInstalled(f"no library {competitor.preload}")
        environment["LD_PRELOAD"] = library
    program = competitor.build(workspace)
    if competitor.serves:
        if competitor.io:
            environment["SKUA_IO"] = competitor.io
        loads = {row.name: row.load for row in ROWS if row.load}
        able = frozenset(name for name, load in loads.items() if competitor.hogs or not load.hogged)
        return Entrant(competitor, program, able, environment, builds.echo_load(workspace).path)
    listed = subprocess.run([program.path, "--list"], capture_output=True, text=True)
    if listed.returncode != 0:
        raise BuildFailed(f"{program.path} --list: {listed.stderr.strip()}")
    rows = frozenset(line.split()[0] for line in listed.stdout.splitlines() if line)
    return Entrant(competitor, program, rows, environment)


def _run_program(
    entrant: Entrant, row: Row, size: int | None, workers: int
) -> subprocess.CompletedProcess[str]:
    command = [str(entrant.program.path), entrant.program_row(row), "--workers", str(workers)]
    if size is not None:
        command += ["--size", str(size)]
    return subprocess.run(
        command,
        env={**os.environ, **entrant.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=RUN_TIMEOUT_S,
    )


def _run_server(
    entrant: Entrant, row: Row, quick: bool, workers: int
) -> subprocess.CompletedProcess[str]:
    load, load_program = row.load, entrant.load_program
    assert load is not None and load_program is not None
    server = [str(entrant.program.path), "--workers", str(workers), *entrant.competitor.arguments]
    if load.hogged:
        server.append("--hog")
    seconds = load.quick_seconds if quick else load.seconds
    return echo.run_load(server, entrant.environment, load_program, load, seconds, RUN_TIMEOUT_S)


def run_once(entrant: Entrant, row: Row, size: int | None, workers: int) -> dict[str, float]:
    """The figures of one run, of the row's full size if `size` is None. Raises RunFailed."""
    try:
        if row.load:
            result = _run_server(entrant, row, size is not None, workers)
        else:
            result = _run_program(entrant, row, size, workers)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end within {RUN_TIMEOUT_S} s") from None
    except (OSError, echo.ServerFailed) as error:
        raise RunFailed(str(error)) from None
    if result.returncode != 0:
        why = f"exit status {result.returncode}"
        if result.returncode == _EXIT_WRONG_ANSWER:
            why = "server failed" if row.load else "wrong answer"
        said = result.stderr.strip().splitlines()
        raise RunFailed(f"{why}: {said[-1]}" if said else why)
    try:
        figures = json.loads(result.stdout)
    except json.JSONDecodeError:
        raise RunFailed(f"printed no JSON: {result.stdout.strip()[:200]}") from None
    missing = [name for name in (*_FIGURES, row.figure, *row.further) if name not in figures]
    if missing:
        raise RunFailed(f"printed no {', '.join(missing)}")
    return figures


# --- What else the machine does ---------------------------------------------------------------


def _busy_cpu_s() -> float:
    """CPU seconds that all processes and interrupts have used; 0 if the kernel does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- The session ------------------------------------------------------------------------------


class _Schedule:
    """Knows how long runs take, once they have run, and so what is left."""

    _UNKNOWN_S = 5.0

    def __init__(self, pending: Sequence[tuple[str, str]]):
        self._pending = list(pending)  # (row, competitor) of each run to come.
        self._total = len(self._pending)
        self._seconds: dict[tuple[str, str], float] = {}

    def done(self, row: str, competitor: str, seconds: float) -> None:
        self._pending.remove((row, competitor))
        self._seconds[(row, competitor)] = seconds

    def dropped(self, row: str, competitor: str) -> None:
        self._pending = [run for run in self._pending if run != (row, competitor)]

    def _guess_s(self, run: tuple[str, str]) -> float:
        if run in self._seconds:
            return self._seconds[run]
        known = [s for (row, _), s in self._seconds.items() if row == run[0]]
        return statistics.median(known or list(self._seconds.values()) or [self._UNKNOWN_S])

    def progress(self) -> str:
        left_s = sum(self._guess_s(run) for run in self._pending)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        return f"[{self._total - len(self._pending)}/{self._total}, about {left} left]"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_all(
    entrants: Sequence[Entrant],
    rows: Sequence[Row],
    rounds: int,
    size_of: Callable[[Row], int | None],
    workers: int,
    say: Callable[[str], None] = _say,
) -> Results:
    """Every row, `rounds` times, by each competitor that has it. A competitor that fails a row is out of that row."""
    results = Results()
    plan = {row.name: [e for e in entrants if e.has(row)] for row in rows}
    schedule = _Schedule(
        [(row.name, e.competitor.name) for row in rows for e in plan[row.name]] * rounds
    )
    for row in rows:
        taking_part = plan[row.name]
        runs = results.runs.setdefault(row.name, {e.competitor.name: [] for e in taking_part})
        for round_number in range(rounds):
            for entrant in list(taking_part):
                name = entrant.competitor.name
                busy_s, children_s, start_s = _busy_cpu_s(), _children_cpu_s(), time.monotonic()
                try:
                    figures = run_once(entrant, row, size_of(row), workers)
                except RunFailed as failure:
                    results.failures.append(f"{row.name}: {name}: {failure}")
                    taking_part.remove(entrant)
                    runs.pop(name)
                    schedule.dropped(row.name, name)
                    say(f"FAILED {results.failures[-1]}")
                    continue
                seconds = time.monotonic() - start_s
                ours_s = _children_cpu_s() - children_s
                results.foreign_cpu_s += max(0.0, _busy_cpu_s() - busy_s - ours_s)
                results.available_cpu_s += seconds * (os.cpu_count() or 1)
                schedule.done(row.name, name, seconds)
                runs[name].append(Run(round_number, figures))
                say(
                    f"{schedule.progress()} {row.name}, round {round_number + 1} of {rounds}, "
                    f"{name}: {figures[row.figure]:.1f} {row.unit}"
                )
    return results
