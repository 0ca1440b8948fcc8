# SPDX-License-Identifier: Apache-2.0
"""What a session gave, as text, as Markdown, as HTML, and as JSON near to Google Benchmark's."""

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

from .figures import (
    LATENCIES,
    VERDICT_ROUNDS,
    Run,
    Spread,
    better,
    figure_of,
    ratio_number,
    ratio_of,
)
from .html import html_page
from .session import Entrant, Results
from .tables import SKUA, SKUA_GCC, Row

GCC_BAR = 1.3  # GCC's figures are to be within this of Clang's.
_NOISE_BAR = 0.05
_RATIOS = (
    "A ratio is the median of the rounds' ratios, [least, most] behind it. Where less is better, Skua is better "
    'below 1; where more is better, above 1. "~" marks a ratio within noise: no verdict.'
)


@dataclasses.dataclass(frozen=True)
class Report:
    context: dict[str, Any]  # How and where it was measured.
    entrants: Sequence[Entrant]  # Skua is among them.
    rows: Sequence[Row]
    results: Results
    absent: dict[str, str]  # Competitors that could not take part, and why.

    # --- Tables -------------------------------------------------------------------------------

    def _runs(self, row: Row) -> dict[str, list[Run]]:
        return self.results.runs.get(row.name, {})

    def _ratio(self, row: Row, name: str, other: str) -> Spread | None:
        runs = self._runs(row)
        if name not in runs or other not in runs:
            return None
        return ratio_of(runs[name], runs[other], row.figure)

    def _title(self, row: Row, name: str) -> str:
        """The competitor, with its size if it cannot do Skua's, and whether it failed."""
        runs = self._runs(row)
        own, skua = (runs.get(n, [None])[0] for n in (name, SKUA.name))
        if own and skua and own.figures.get("size", 0) != skua.figures.get("size", 0):
            name = f"{name} (size {own.figures['size']:.0f})"
        return f"{name} (FAILED later)" if self._failure(row, name) else name

    def _workers(self) -> int:
        return int(self.context.get("workers", 0))

    def _failure(self, row: Row, name: str, workers: int | None = None) -> str | None:
        """Why the competitor is out of the row, after the runs that it has."""
        return self.results.failed.get((row.name, name, workers or self._workers()))

    def main_table(self) -> list[list[str]]:
        table = [["row", "competitor", "median", "min - max", "better", "Skua / it", "max RSS"]]
        table[0].append("CPU s")
        for row in self.rows:
            for name, runs in self._runs(row).items():
                figure = figure_of(runs, row.figure)
                is_other = name not in (SKUA.name, SKUA_GCC.name)
                ratio = self._ratio(row, SKUA.name, name) if is_other else None
                table.append(
                    [
                        row.name,
                        self._title(row, name),
                        f"{_number(figure.median)} {row.unit}",
                        f"{_number(figure.least)} - {_number(figure.most)}",
                        better(row.figure),
                        _ratio_text(ratio) if ratio else "",
                        _memory(figure_of(runs, "max_rss_kib").median),
                        f"{figure_of(runs, 'cpu_s').median:.2f}",
                    ]
                )
        return table

    def scaling(self) -> list[dict[str, Any]]:
        """Ops a second of the rows that were run with several numbers of workers, fewer workers first."""
        scaled = self.results.scaled
        points = []
        for row in self.rows:
            if not any(row.name in by_row for by_row in scaled.values()):
                continue
            counts = {**scaled, self.context["workers"]: {row.name: self._runs(row)}}
            for name in self._runs(row):
                for workers in sorted(counts):
                    runs = counts[workers].get(row.name, {}).get(name)
                    if not runs:
                        continue
                    spread = figure_of(runs, "ns_per_op")
                    points.append(
                        {
                            "row": row.name,
                            "competitor": name,
                            # What has one thread has it however many it was told.
                            "workers": int(runs[0].figures.get("workers", workers)),
                            "ops_per_s": 1e9 / spread.median,
                            "min": 1e9 / spread.most,
                            "max": 1e9 / spread.least,
                        }
                    )
        return points

    def scaling_table(self) -> list[list[str]]:
        points = self.scaling()
        counts = sorted({point["workers"] for point in points})
        head = ["row", "competitor"] + [f"{n} worker{'s' if n > 1 else ''}" for n in counts]
        lines: dict[tuple[str, str], list[str]] = {}
        for point in points:
            key = (point["row"], point["competitor"])
            line = lines.setdefault(key, [*key] + [""] * len(counts))
            line[2 + counts.index(point["workers"])] = _rate(point["ops_per_s"])
        return [head, *lines.values()]

    def gcc_table(self) -> list[list[str]]:
        table = [["row", "GCC / Clang", f"within {GCC_BAR}"]]
        for row in self.rows:
            ratio = self._ratio(row, SKUA_GCC.name, SKUA.name)
            if ratio:
                verdict = "yes" if ratio.median <= GCC_BAR else "NO"
                if ratio.rounds < VERDICT_ROUNDS:
                    verdict = "no verdict"
                table.append([row.name, _ratio_text(ratio), verdict])
        return table

    def further_table(self) -> list[list[str]]:
        """Figures that only some rows have."""
        table = [["row", "competitor", "figure", "median", "min - max", "better", "Skua / it"]]
        for row in self.rows:
            for name, runs in self._runs(row).items():
                for figure in row.further:
                    spread = figure_of(runs, figure)
                    span = f"{_number(spread.least)} - {_number(spread.most)}"
                    ratio = None
                    if better(figure) and name != SKUA.name and SKUA.name in self._runs(row):
                        ratio = ratio_of(self._runs(row)[SKUA.name], runs, figure)
                    table.append(
                        [row.name, name, figure, _number(spread.median), span, better(figure)]
                        + [_ratio_text(ratio) if ratio else ""]
                    )
        return table

    def remarks(self) -> list[str]:
        remarks = []
        if self.results.is_partial:
            remarks.append("PARTIAL: it was interrupted. These are the rounds that were complete.")
        rounds = self.context.get("rounds", 0)
        if rounds < VERDICT_ROUNDS:
            remarks.append(
                f"Too few rounds for verdicts: {rounds}; it takes {VERDICT_ROUNDS}. All ratios are marked ~."
            )
        remarks += [f"{name}: not compared: {why}" for name, why in self.absent.items()]
        remarks += self.results.impossible
        remarks += [f"FAILED {failure}" for failure in self.results.failures]
        skua = [e for e in self.entrants if e.competitor.name == SKUA.name]
        for row in self.rows:
            if not any(e.has(row) for e in skua):
                remarks.append(f"{row.name}: Skua's program does not run this row.")
        share = self.results.foreign_share
        if share > _NOISE_BAR:
            remarks.append(
                f"NOISY: other processes used {share:.0%} of the machine's CPUs meanwhile. Ratios of single rounds "
                "may be off by as much and more."
            )
        return remarks

    # --- Forms --------------------------------------------------------------------------------

    def _sections(self) -> list[tuple[str, list[list[str]]]]:
        sections = [
            ("Rows", self.main_table()),
            ("Skua built by GCC, to Skua built by Clang", self.gcc_table()),
            ("Throughput against workers", self.scaling_table()),
            ("Further figures", self.further_table()),
        ]
        return [(title, table) for title, table in sections if len(table) > 1]

    def _heading(self) -> str:
        """With what a reader has to know before the first figure."""
        marks = ["partial"] if self.results.is_partial else []
        if self.context.get("rounds", 0) < VERDICT_ROUNDS:
            marks.append("too few rounds for verdicts")
        return "Skua compared" + (f" ({', '.join(marks)})" if marks else "")

    def to_text(self) -> str:
        parts = [self._heading()]
        for title, table in self._sections():
            parts.append(f"{title}\n\n{text_table(table)}")
        parts.append(_RATIOS)
        parts += self.remarks()
        return "\n\n".join(parts) + "\n"

    def to_markdown(self) -> str:
        lines = [f"# {self._heading()}", ""]
        lines += [f"- {key}: {_markdown(value)}" for key, value in self.context.items()]
        for title, table in self._sections():
            lines += ["", f"## {title}", "", _markdown_table(table)]
        lines += ["", _RATIOS]
        if self.remarks():
            lines += ["", "## Remarks", ""]
            lines += [f"- {remark}" for remark in self.remarks()]
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        sections = self._sections()
        remarks = [[remark] for remark in self.remarks()]
        if remarks:
            sections.append(("Remarks", [[""], *remarks]))
        return html_page(self._heading(), self.to_json(), sections)

    def to_json(self) -> dict[str, Any]:
        """`context` and `benchmarks` as in Google Benchmark's files, and `ratios` beside them."""
        benchmarks, ratios = [], []
        for row in self.rows:
            for name, runs in self._runs(row).items():
                benchmarks += self._benchmarks(row, name, runs, f"{row.name}/{name}")
                ratio = self._ratio(row, SKUA.name, name)
                if ratio and name != SKUA.name:
                    ratios.append(
                        {
                            "row": row.name,
                            "figure": row.figure,
                            "of": SKUA.name,
                            "to": name,
                            "median": ratio.median,
                            "min": ratio.least,
                            "max": ratio.most,
                            "better": better(row.figure),
                            "rounds": ratio.rounds,
                            "crosses_one": ratio.crosses_one,
                            "is_noise": ratio.is_noise,
                            "failed": any(self._failure(row, n) for n in (SKUA.name, name)),
                        }
                    )
        for workers, by_row in sorted(self.results.scaled.items()):
            for row in self.rows:
                for name, runs in by_row.get(row.name, {}).items():
                    run_name = f"{row.name}/{name}/workers:{workers}"
                    benchmarks += self._benchmarks(row, name, runs, run_name, workers)
        return {
            "context": {
                **self.context,
                "partial": self.results.is_partial,
                "foreign_cpu_share": round(self.results.foreign_share, 4),
                "absent": self.absent,
                "impossible": self.results.impossible,
                "failures": self.results.failures,
            },
            "benchmarks": benchmarks,
            "ratios": ratios,
            "scaling": self.scaling(),
        }

    def _benchmarks(
        self, row: Row, name: str, runs: list[Run], run_name: str, workers: int | None = None
    ) -> list[dict[str, Any]]:
        failure = self._failure(row, name, workers)
        entries = [_repetition(run_name, run, len(runs)) for run in runs]
        if failure:
            entries.append(
                {
                    "name": run_name,
                    "run_name": run_name,
                    "run_type": "iteration",
                    "repetitions": len(runs),
                    "repetition_index": runs[-1].round + 1,
                    "error_occurred": True,
                    "error_message": failure,
                }
            )
        entries.append(_median(row, run_name, runs))
        for entry in entries:
            entry.update({"row": row.name, "competitor": name})
        return entries


def _repetition(run_name: str, run: Run, repetitions: int) -> dict[str, Any]:
    figures = run.figures
    own = ("row", "ns_per_op", "ops")
    return {
        "name": run_name,
        "run_name": run_name,
        "run_type": "iteration",
        "repetitions": repetitions,
        "repetition_index": run.round,
        "threads": figures.get("workers", 0),
        "iterations": figures["ops"],
        "real_time": figures["ns_per_op"],
        "cpu_time": figures["cpu_s"] * 1e9 / figures["ops"],
        "time_unit": "ns",
        **{key: value for key, value in figures.items() if key not in own},
    }


def _median(row: Row, run_name: str, runs: list[Run]) -> dict[str, Any]:
    ops = figure_of(runs, "ops").median
    return {
        "name": f"{run_name}_median",
        "run_name": run_name,
        "run_type": "aggregate",
        "aggregate_name": "median",
        "aggregate_unit": "time",
        "repetitions": len(runs),
        "threads": runs[0].figures.get("workers", 0),
        "iterations": len(runs),
        "real_time": figure_of(runs, "ns_per_op").median,
        "cpu_time": figure_of(runs, "cpu_s").median * 1e9 / ops,
        "time_unit": "ns",
        "max_rss_kib": figure_of(runs, "max_rss_kib").median,
        **{figure: figure_of(runs, figure).median for figure in _medians(row, runs)},
    }


def _medians(row: Row, runs: list[Run]) -> list[str]:
    """Which figures beside the time for each op."""
    distribution = [name for name in LATENCIES if all(name in run.figures for run in runs)]
    return list(dict.fromkeys((row.figure, *row.further, *distribution)))


# --- Texts ------------------------------------------------------------------------------------


def _number(value: float) -> str:
    """Three digits or more, and no exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _rate(ops_per_s: float) -> str:
    if ops_per_s >= 1e6:
        return f"{_number(ops_per_s / 1e6)} M/s"
    return f"{_number(ops_per_s / 1e3)} k/s"


def _ratio_text(ratio: Spread) -> str:
    mark = "~ " if ratio.is_noise else ""
    least, most = ratio_number(ratio.least), ratio_number(ratio.most)
    return f"{mark}{ratio_number(ratio.median)} [{least}, {most}]"


def _memory(kib: float) -> str:
    return f"{kib / 1024:.1f} MiB"


def text_table(table: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def _markdown_table(table: list[list[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in table]
    lines.insert(1, "|" + "---|" * len(table[0]))
    return "\n".join(lines)


def _markdown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)
