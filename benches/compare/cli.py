# SPDX-License-Identifier: Apache-2.0
"""The command line of scripts/compare."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any, Mapping, Sequence

from . import baseline, uring
from .builds import BuildFailed, NotInstalled, Workspace
from .report import Report, text_table
from .session import Entrant, NotAvailable, enter, run_all
from .tables import (
    BASELINES,
    DEFAULT_ECHO_PEERS,
    DEFAULT_PEERS,
    ECHO_PEERS,
    PEERS,
    POLICIES,
    ROWS,
    SKUA,
    SKUA_ECHO,
    SKUA_GCC,
    Competitor,
    Row,
)

_EXIT_FAILED = 1
_EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
_ROUNDS = 5
_QUICK_ROUNDS = 2

_DESCRIPTION = """\
Builds Skua (Clang 19, -O3 -march=native) and its peers, runs them in turn on the same rows, and
prints medians and ratios. Peers whose tools are missing are left out. benches/README.md says what
the rows do and how to read the figures.

Writes build/compare/report.json, report.md and report.html (with pictures)."""

_EPILOG = """\
Exit status: 0 done, 1 something failed to build, to run, gave a wrong answer, or is worse than in
the baseline, 2 a mistake in the command line, or a baseline that cannot be compared, 130 interrupted: the
report has the rounds that were complete, and says that it is partial."""


def _names(known: Sequence[str], what: str, groups: Mapping[str, Sequence[str]] = {}):
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known and name not in groups]
        if unknown or not names:
            raise argparse.ArgumentTypeError(
                f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return [member for name in names for member in groups.get(name, [name])]

    return parse


def _report(path: str) -> dict[str, Any]:
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from error


def _folder(path: str) -> pathlib.Path:
    if not pathlib.Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{path} is no folder")
    return pathlib.Path(path).resolve()


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    rows = [row.name for row in ROWS]
    groups: dict[str, list[str]] = {}
    for row in ROWS:
        if row.group:
            groups.setdefault(row.group, []).append(row.name)
    peers = list(dict.fromkeys(peer.name for peer in (*PEERS, *ECHO_PEERS)))
    policies = [policy.name for policy in POLICIES]
    sets = {"all": peers, "baselines": BASELINES, "policies": policies}
    default_peers = ",".join(dict.fromkeys((*DEFAULT_PEERS, *DEFAULT_ECHO_PEERS)))
    parser = argparse.ArgumentParser(
        prog="scripts/compare",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"smaller sizes, {_QUICK_ROUNDS} rounds: to see that all works, not for figures",
    )
    parser.add_argument(
        "--only",
        type=_names(rows, "row", groups),
        default=rows,
        metavar="ROW,...",
        help=f"these rows of: {', '.join(rows)}; all echo_N and echo_rate_N: {', '.join(groups)}",
    )
    parser.add_argument(
        "--rounds",
        type=_at_least_one,
        metavar="N",
        help=f"runs of each competitor on each row (default {_ROUNDS})",
    )
    parser.add_argument(
        "--peers",
        type=_names([*peers, *policies, "none"], "peer", sets),
        metavar="P,...",
        help=f"these peers of: {', '.join(peers)}; or all of them, baselines, none; or Skua's other schedulers: "
        f"policies, or of these {', '.join(policies)} (default {default_peers}, and without --quick "
        f"{','.join(BASELINES)})",
    )
    parser.add_argument(
        "--gcc",
        action="store_true",
        help="also Skua built by GCC 12, and its ratio to Skua built by Clang",
    )
    parser.add_argument(
        "--workers", type=_at_least_one, default=2, metavar="N", help="of each runtime (default 2)"
    )
    parser.add_argument(
        "--no-scaling",
        action="store_true",
        help="the rows that show throughput against workers not with 1, 2, 4, ... up to the number of CPUs as well; "
        "with --quick, echo servers never are",
    )
    parser.add_argument(
        "--baseline",
        type=_report,
        metavar="FILE",
        help="an earlier report.json: shows how the ratios have changed, and fails if one row is worse beside most of "
        "its peers, beyond noise. It takes five rounds on both sides",
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="first install what is missing, with apt-get (Debian 12; root or sudo)",
    )
    parser.add_argument(
        "--programs",
        type=_folder,
        metavar="DIR",
        help="builds nothing, runs the programs of this folder: to see that the comparison works, for the figures are "
        "those of however they were built. What is not there is not compared",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        metavar="DIR",
        help="for the report, instead of build/compare",
    )
    return parser


def _install(root: pathlib.Path, competitors: Sequence[Competitor]) -> None:
    """Raises CalledProcessError."""
    subprocess.run([root / "scripts" / "setup.sh"], check=True)
    packages = sorted({package for c in competitors for package in c.packages})
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package}: ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
    )
    installed = query.stdout.splitlines()
    missing = [package for package in packages if f"{package}: installed" not in installed]
    if not missing:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*as_root, "apt-get", "update", "-q"], check=True)
    subprocess.run(
        [*as_root, "env", "DEBIAN_FRONTEND=noninteractive"]
        + ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
        check=True,
    )


def _cpu_model() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _context(
    arguments: argparse.Namespace, rounds: int, entrants: Sequence[Entrant]
) -> dict[str, Any]:
    refused = uring.refused()
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "num_cpus": os.cpu_count(),
        "kernel": platform.release(),
        "io_uring": f"refused ({refused}): Skua's rows are on epoll" if refused else "allowed",
        "load_avg": [round(load, 2) for load in os.getloadavg()],
        "workers": arguments.workers,
        "rounds": rounds,
        "sizes": "quick" if arguments.quick else "full",
        "competitors": {
            e.competitor.name: f"{e.competitor.title} {e.program.version}" for e in entrants
        },
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _more_workers(cpus: int, workers: int) -> list[int]:
    """1, 2, 4, ... and the number of CPUs, but not `workers`."""
    counts = [1 << i for i in range(cpus.bit_length()) if 1 << i < cpus] + [cpus]
    return [count for count in counts if count != workers]


def _competitors(arguments: argparse.Namespace, rows: Sequence[Row]) -> list[Competitor]:
    """Those that the rows need; Skua first."""
    if arguments.peers is None:
        arguments.peers = [*DEFAULT_PEERS, *DEFAULT_ECHO_PEERS]
        arguments.peers += [] if arguments.quick else BASELINES
    competitors: list[Competitor] = []
    if any(not row.load for row in rows):
        competitors += [SKUA] + ([SKUA_GCC] if arguments.gcc else [])
        competitors += [peer for peer in (*POLICIES, *PEERS) if peer.name in arguments.peers]
    if any(row.load for row in rows):
        competitors.append(SKUA_ECHO)
        competitors += [peer for peer in ECHO_PEERS if peer.name in arguments.peers]
    return competitors


def _is_worse(earlier: dict[str, Any], report: dict[str, Any]) -> bool:
    """Prints what has changed. True also if the reports have no ratio in common."""
    changes = baseline.changes_since(earlier, report)
    if not changes:
        _say("scripts/compare: the baseline has none of these ratios.")
        return True
    print("Since the baseline\n\n" + text_table(baseline.changes_table(changes)) + "\n")
    for name, (before, now) in baseline.changed_versions(earlier, report).items():
        print(f"{name} was {before}, and is {now}: it does not count.")
    if not baseline.has_rounds(earlier, report):
        _say("scripts/compare: no verdict: it takes five rounds in the baseline and here.")
        return False
    verdicts = baseline.verdicts_on(changes)
    print("\n".join(str(verdict) for verdict in verdicts) + "\n")
    return any(verdict.is_regression for verdict in verdicts)


def main(root: pathlib.Path, argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    rows = [row for row in ROWS if row.name in arguments.only]
    if arguments.quick:  # It is to end within minutes.
        rows = [dataclasses.replace(row, scales=row.scales and not row.load) for row in rows]
    competitors = _competitors(arguments, rows)

    if arguments.baseline is not None:
        sizes = "quick" if arguments.quick else "full"
        try:
            baseline.check(arguments.baseline, sizes, arguments.workers, rows)
        except baseline.NotComparable as error:
            _say(f"scripts/compare: the baseline is {error}")
            return _EXIT_USAGE
    if arguments.install:
        try:
            _install(root, competitors)
        except (OSError, subprocess.CalledProcessError) as error:
            _say(f"scripts/compare: the installation failed: {error}")
            return _EXIT_FAILED

    built = root / "build" / "compare"
    output = (arguments.output or built).resolve()
    workspace = Workspace(root, built, arguments.programs)
    entrants: list[Entrant] = []
    absent: dict[str, str] = {}
    failed = False
    for competitor in competitors:
        title = f"{competitor.name} (echo)" if competitor.serves else competitor.name
        if not arguments.programs:
            _say(f"Building {competitor.name} ...")
        try:
            entrants.append(enter(competitor, workspace))
        except NotInstalled as missing:
            packages = " ".join(competitor.packages)
            absent[title] = f"not installed: {missing}"
            absent[title] += f" (apt-get install {packages})" if packages else ""
            _say(f"{title}: {absent[title]}")
            failed |= not competitor.is_peer
        except NotAvailable as refusal:
            absent[title] = f"not available: {refusal}"
            _say(f"{title}: {absent[title]}")
            failed |= not competitor.is_peer
        except BuildFailed as failure:
            absent[title] = "does not build"
            _say(f"{title} does not build: {failure}")
            failed = True
    if not entrants or entrants[0].competitor.name != SKUA.name:
        _say("scripts/compare: without Skua there is nothing to compare.")
        return _EXIT_FAILED

    context = _context(arguments, rounds, entrants)
    results = run_all(
        entrants,
        rows,
        rounds,
        lambda row: row.quick_size if arguments.quick else None,
        arguments.workers,
        [] if arguments.no_scaling else _more_workers(os.cpu_count() or 1, arguments.workers),
    )
    if results.is_partial and not any(results.runs.values()):
        _say("scripts/compare: interrupted before a round was complete; no report was written")
        return EXIT_INTERRUPTED
    report = Report(context, entrants, rows, results, absent)
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(
        json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8"
    )
    (output / "report.md").write_text(report.to_markdown(), encoding="utf-8")
    (output / "report.html").write_text(report.to_html(), encoding="utf-8")
    print(report.to_text())
    _say(f"Written: {output}/report.json, report.md, report.html")
    if results.is_partial:
        return EXIT_INTERRUPTED
    if arguments.baseline is not None:
        failed |= _is_worse(arguments.baseline, report.to_json())
    return _EXIT_FAILED if failed or results.failures else 0
