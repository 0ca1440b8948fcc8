# SPDX-License-Identifier: Apache-2.0
"""Runs the competitors in turn: A B C A B C, so that what drifts on the machine meets all of them."""

from __future__ import annotations

import ctypes.util
import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import time
from typing import Callable, Iterator, Mapping, Sequence

from . import builds, echo, uring
from .builds import BuildFailed, NotInstalled, Program, Workspace
from .figures import Run
from .progress import Console, Schedule
from .tables import ROWS, SKUA, Competitor, Row

FIRST_TIMEOUT_S = 900  # Of a run of which nobody knows how long it takes.
LEAST_TIMEOUT_S = 60
# And no more than so many times what the competitor's last run of the row took.
_TIMEOUT_FACTOR = 20
_EXIT_WRONG_ANSWER = 1
_EXIT_NOT_POSSIBLE = 3
# What every program reports.
_FIGURES = ("ns_per_op", "wall_s", "ops", "cpu_s", "max_rss_kib")


class NotAvailable(Exception):
    """The machine refuses what a competitor needs. Says what."""


class RunFailed(Exception):
    """A run that gave no figures. Says why."""


class NotPossible(RunFailed):
    """The system refuses what the row needs. Says what."""


def timeout_after(last_s: float | None) -> float:
    """How long a run may take whose last one took `last_s`."""
    return FIRST_TIMEOUT_S if last_s is None else max(LEAST_TIMEOUT_S, _TIMEOUT_FACTOR * last_s)


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A competitor whose program is there."""

    competitor: Competitor
    program: Program
    rows: Mapping[str, int]  # That the program has, with their full sizes.
    environment: dict[str, str]
    load_program: pathlib.Path | None = None  # Of a server: what asks it.

    def program_row(self, row: Row) -> str:
        return row.peer_row if self.competitor.is_peer and row.peer_row else row.name

    def has(self, row: Row) -> bool:
        return self.program_row(row) in self.rows

    def size(self, row: Row, size: int | None) -> int | None:
        """What the program gets, if others get `size`; None: its own full size."""
        if size is None or (not row.load and self.rows[self.program_row(row)] < size):
            return None
        return size


@dataclasses.dataclass
class Results:
    """Of a session. Runs by row, then by competitor, both in the order of their tables."""

    runs: dict[str, dict[str, list[Run]]] = dataclasses.field(default_factory=dict)
    # The same for other numbers of workers, by which they are first.
    scaled: dict[int, dict[str, dict[str, list[Run]]]] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)
    impossible: list[str] = dataclasses.field(default_factory=list)  # The system refuses it.
    # Who is out of a row, and why: by row, competitor, and number of workers. Their earlier runs are among the others.
    failed: dict[tuple[str, str, int], str] = dataclasses.field(default_factory=dict)
    is_partial: bool = False  # It was interrupted. What there is has ended as it should.
    foreign_cpu_s: float = 0  # What other processes used while ours ran.
    available_cpu_s: float = 0

    @property
    def foreign_share(self) -> float:
        return self.foreign_cpu_s / self.available_cpu_s if self.available_cpu_s > 0 else 0


def enter(competitor: Competitor, workspace: Workspace) -> Entrant:
    """Builds the competitor's program. Raises NotAvailable, NotInstalled or BuildFailed."""
    environment = {}
    refused = uring.refused()
    if refused and competitor.needs_uring:
        raise NotAvailable(f"io_uring refused ({refused})")
    if competitor.is_skua:  # Whatever the user's environment says.
        environment["SKUA_IO"] = "epoll" if refused else competitor.io
        environment["SKUA_SOCKETS"] = competitor.sockets
    if competitor.preload:
        library = ctypes.util.find_library(competitor.preload)
        if not library:  # The loader would only warn, and go on with the usual malloc.
            raise NotInstalled(f"no library {competitor.preload}")
        environment["LD_PRELOAD"] = library
    program = competitor.build(workspace)
    if competitor.serves:
        loads = {row.name: row.load for row in ROWS if row.load}
        able = {name: 0 for name, load in loads.items() if competitor.hogs or not load.hogged}
        return Entrant(competitor, program, able, environment, builds.echo_load(workspace).path)
    listed = subprocess.run([program.path, "--list"], capture_output=True, text=True)
    if listed.returncode != 0:
        raise BuildFailed(f"{program.path} --list: {listed.stderr.strip()}")
    lines = [line.split() for line in listed.stdout.splitlines() if line]
    sizes = {line[0]: int(line[1]) for line in lines}
    if refused and competitor.is_skua:
        # The scheduler's rows do without the ring; files would be read by other means than the row's name says.
        for row in ROWS:
            if row.does_io:
                sizes.pop(row.name, None)
    return Entrant(competitor, program, sizes, environment)


def _run_program(
    entrant: Entrant, row: Row, size: int | None, workers: int, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    command = [str(entrant.program.path), entrant.program_row(row), "--workers", str(workers)]
    command += entrant.competitor.arguments
    size = entrant.size(row, size)
    if size is not None:
        command += ["--size", str(size)]
    return subprocess.run(
        command,
        env={**os.environ, **entrant.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
    )


def _run_servers(
    entrants: Sequence[Entrant], row: Row, quick: bool, workers: int, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    load, load_program = row.load, entrants[0].load_program
    assert load is not None and load_program is not None
    servers = []
    for entrant in entrants:
        command = [str(entrant.program.path), "--workers", str(workers)]
        command += entrant.competitor.arguments
        if load.hogged:
            command.append("--hog")
        servers.append(echo.Server(command, entrant.environment))
    seconds = load.quick_seconds if quick else load.seconds
    return echo.run_load(servers, load_program, load, seconds, timeout_s)


def run_once(
    entrants: Sequence[Entrant],
    row: Row,
    size: int | None,
    workers: int,
    timeout_s: float = FIRST_TIMEOUT_S,
) -> list[dict[str, float]]:
    """The figures of one run, of the row's full size if `size` is None. Raises RunFailed.

    Of each entrant: several are servers that are asked in turn.
    """
    try:
        if row.load:
            result = _run_servers(entrants, row, size is not None, workers, timeout_s)
        else:
            (entrant,) = entrants
            result = _run_program(entrant, row, size, workers, timeout_s)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end within {timeout_s:g} s") from None
    except (OSError, echo.ServerFailed) as error:
        raise RunFailed(str(error)) from None
    if result.returncode != 0:
        why = f"exit status {result.returncode}"
        if result.returncode == _EXIT_WRONG_ANSWER:
            why = "server failed" if row.load else "wrong answer"
        said = result.stderr.strip().splitlines()
        if result.returncode == _EXIT_NOT_POSSIBLE:
            raise NotPossible(said[-1] if said else "not possible here")
        raise RunFailed(f"{why}: {said[-1]}" if said else why)
    lines = result.stdout.splitlines()
    if len(lines) != len(entrants):
        raise RunFailed(f"printed {len(lines)} lines, not {len(entrants)}")
    return [_figures_of(line, e, row, workers) for line, e in zip(lines, entrants)]


def _figures_of(line: str, entrant: Entrant, row: Row, workers: int) -> dict[str, float]:
    """What a program printed. Raises RunFailed."""
    try:
        figures = json.loads(line)
    except json.JSONDecodeError:
        raise RunFailed(f"printed no JSON: {line.strip()[:200]}") from None
    missing = [name for name in (*_FIGURES, row.figure, *row.further) if name not in figures]
    if missing:
        raise RunFailed(f"printed no {', '.join(missing)}")
    # Of a server, only we know it; and what has one thread was told another number.
    figures["workers"] = 1 if entrant.competitor.is_single else workers
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


@dataclasses.dataclass(frozen=True)
class _Cell:
    """A row with a number of workers, and who takes part."""

    row: Row
    workers: int
    entrants: list[Entrant]
    runs: dict[str, list[Run]]  # Where they are kept.

    @property
    def name(self) -> str:
        return f"{self.row.name} with {self.workers} worker{'s' if self.workers > 1 else ''}"

    def drop_incomplete_round(self) -> None:
        """That some of those who still take part have not run."""
        rounds = [len(self.runs[entrant.competitor.name]) for entrant in self.entrants]
        for runs in self.runs.values() if rounds else ():
            runs[:] = [run for run in runs if run.round < min(rounds)]


def _cells(
    results: Results,
    entrants: Sequence[Entrant],
    rows: Sequence[Row],
    workers: int,
    more_workers: Sequence[int],
) -> Iterator[_Cell]:
    for row in rows:
        able = [e for e in entrants if e.has(row)]
        runs = results.runs.setdefault(row.name, {})
        runs.update({e.competitor.name: [] for e in able})
        yield _Cell(row, workers, able, runs)
        for count in more_workers if row.scales else ():
            scaling = [e for e in able if not e.competitor.is_single]
            runs = results.scaled.setdefault(count, {}).setdefault(row.name, {})
            runs.update({e.competitor.name: [] for e in scaling})
            yield _Cell(row, count, scaling, runs)


class _Sitting:
    """Runs cells, and keeps what comes of it."""

    def __init__(self, results: Results, schedule: Schedule, console: Console, rounds: int):
        self._results = results
        self._schedule = schedule
        self._console = console
        self._rounds = rounds

    def run_round(self, cell: _Cell, size: int | None, number: int) -> None:
        """Every entrant once: one after the other, or servers together, in turns of a fraction of a second."""
        if cell.row.load and cell.row.load.in_turns and len(cell.entrants) > 1:
            try:
                self._run(cell, cell.entrants, size, number)
                return
            except RunFailed as failure:  # Which of them it is shows when each is alone.
                self._console.say(f"{cell.name}: all in turn: {failure}")
        for entrant in list(cell.entrants):
            try:
                self._run(cell, [entrant], size, number)
            except RunFailed as failure:
                self._drop(cell, entrant, failure, number)

    def _drop(self, cell: _Cell, entrant: Entrant, failure: RunFailed, number: int) -> None:
        """A failure is one of the results."""
        results, row, name = self._results, cell.row, entrant.competitor.name
        where = row.name if cell.runs is results.runs[row.name] else cell.name
        after = f" (in round {number + 1})" if number > 0 else ""
        text = f"{where}: {name}: {failure}{after}"
        # Without Skua there is no comparison; without a peer there is a smaller one.
        is_failure = not isinstance(failure, NotPossible) or name == SKUA.name
        (results.failures if is_failure else results.impossible).append(text)
        results.failed[(row.name, name, cell.workers)] = str(failure)
        cell.entrants.remove(entrant)
        self._schedule.dropped(cell.name, name)
        self._console.say(f"FAILED {text}" if is_failure else text)

    def _run(self, cell: _Cell, entrants: Sequence[Entrant], size: int | None, number: int) -> None:
        """One run of all of them. Raises RunFailed."""
        results, schedule = self._results, self._schedule
        row, names = cell.row, [entrant.competitor.name for entrant in entrants]
        busy_s, children_s, start_s = _busy_cpu_s(), _children_cpu_s(), time.monotonic()
        last_s = [schedule.last_s(cell.name, name) for name in names]
        known_s = [seconds for seconds in last_s if seconds is not None]
        timeout_s = timeout_after(sum(known_s) if len(known_s) == len(names) else None)
        all_figures = run_once(entrants, row, size, cell.workers, timeout_s)
        seconds = time.monotonic() - start_s
        ours_s = _children_cpu_s() - children_s
        results.foreign_cpu_s += max(0.0, _busy_cpu_s() - busy_s - ours_s)
        results.available_cpu_s += seconds * (os.cpu_count() or 1)
        for name, figures in zip(names, all_figures):
            schedule.done(cell.name, name, seconds / len(names))
            cell.runs[name].append(Run(number, figures))
            self._console.progress(
                f"{schedule.progress()}: {cell.name}, round {number + 1} of {self._rounds}, "
                f"{name}: {figures[row.figure]:.1f} {row.unit}"
            )


def run_all(
    entrants: Sequence[Entrant],
    rows: Sequence[Row],
    rounds: int,
    size_of: Callable[[Row], int | None],
    workers: int,
    more_workers: Sequence[int] = (),
    console: Console | None = None,
) -> Results:
    """Every row, `rounds` times, by each competitor that has it; rows that scale also with each of `more_workers`.

    A competitor that fails a row is out of the rest of that row, with this number of workers. On KeyboardInterrupt, the
    results of the rounds that are complete.
    """
    results = Results()
    console = console or Console()
    cells = list(_cells(results, entrants, rows, workers, more_workers))
    schedule = Schedule([(c.name, e.competitor.name) for c in cells for e in c.entrants] * rounds)
    sitting = _Sitting(results, schedule, console, rounds)
    try:
        for cell in cells:
            for round_number in range(rounds):
                sitting.run_round(cell, size_of(cell.row), round_number)
    except KeyboardInterrupt:
        results.is_partial = True
        for cell in cells:
            cell.drop_incomplete_round()
    for cell in cells:
        for name in [name for name, runs in cell.runs.items() if not runs]:
            del cell.runs[name]
    console.close()
    return results
