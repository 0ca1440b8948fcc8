# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file with pictures, which needs nothing from the network."""

from __future__ import annotations

import html
import math
from typing import Any, Callable, Iterable, Mapping, Sequence

from .figures import LATENCIES
from .tables import is_skua

_WIDTH = 900  # Of a chart, in px.
_LABELS = 260  # Of which for the names at its left.
_LEGEND = 190  # And at the right of a chart with curves.
_LEFT = 70
_CURVES = 240  # Height of a chart with curves.
_BAR = 18  # Height of a line.
_COLOURS = ("#1b6ca8", "#c0572b", "#3c8d4f", "#8a5aa8", "#a8871b", "#b03a5b", "#4d7c7c", "#777777")
_DASHES = ("", "6 3", "2 3")  # Where there are more lines than colours.

_MORE = " (more is better)"

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 960px; color: #222; }
h1, h2 { font-weight: 600; } table { border-collapse: collapse; }
td, th { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums; }
svg { display: block; margin: 1em 0; } svg text { font: 12px system-ui, sans-serif; fill: #222; }
.axis { stroke: #ccc; } .one { stroke: #222; } .span { stroke: #222; stroke-width: 1.5; }
.curve { fill: none; stroke-width: 2; } .row { font-weight: 600; }
"""


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)


class _Axis:
    """Maps values to a place between two, evenly or a decade after the other."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self._first, self._last = first, last
        self._low, self._high = min(values), max(values)

    def at(self, value: float) -> float:
        share = (value - self._low) / ((self._high - self._low) or 1)
        return self._first + share * (self._last - self._first)


class _LogAxis(_Axis):
    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low = math.floor(math.log10(min(values)) * 2) / 2
        high = math.ceil(math.log10(max(values)) * 2) / 2
        super().__init__((low, max(high, low + 0.5)), first, last)

    def at(self, value: float) -> float:
        return super().at(math.log10(value))

    def ticks(self) -> list[float]:
        steps = (1, 2, 5) if self._high - self._low < 4 else (1,)
        decades = range(math.floor(self._low) - 1, math.floor(self._high) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        return [tick for tick in ticks if self._low <= math.log10(tick) <= self._high]


def _vertical(x: float, height: int, text: str) -> str:
    return (
        f'<line class="axis" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}"/>'
        f'<text x="{x:.1f}" y="{height + 14}" text-anchor="middle">{text}</text>'
    )


def _horizontal(y: float, last: int, text: str) -> str:
    return (
        f'<line class="axis" x1="{_LEFT}" y1="{y:.1f}" x2="{last}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _svg(height: int, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height + 20}" width="{_WIDTH}" role="img">{"".join(parts)}</svg>'


def _label(y: int, text: str) -> str:
    return (
        f'<text x="{_LABELS - 8}" y="{y + _BAR - 5}" text-anchor="end">{html.escape(text)}</text>'
    )


def _ratio_chart(ratios: Sequence[dict[str, Any]]) -> str:
    values = [ratio[key] for ratio in ratios for key in ("min", "max")]
    axis = _LogAxis([*values, 0.5, 2], _LABELS, _WIDTH - 60)
    height = _BAR * len(ratios)
    parts = [_vertical(axis.at(tick), height, f"{tick:g}") for tick in axis.ticks()]
    one = axis.at(1)
    for i, ratio in enumerate(ratios):
        y = i * _BAR
        x = axis.at(ratio["median"])
        is_better = (ratio["median"] < 1) == (ratio["better"] == "less")
        colour = "#999" if ratio["is_noise"] else "#3c8d4f" if is_better else "#c0572b"
        middle = y + _BAR / 2
        parts += [
            _label(
                y, f"{ratio['row']} / {ratio['to']}{_MORE if ratio['better'] == 'more' else ''}"
            ),
            f'<rect x="{min(x, one):.1f}" y="{y + 3}" width="{abs(x - one):.1f}" height="{_BAR - 6}" fill="{colour}"/>',
            f'<line class="span" x1="{axis.at(ratio["min"]):.1f}" y1="{middle}" '
            f'x2="{axis.at(ratio["max"]):.1f}" y2="{middle}"/>',
            f'<text x="{_WIDTH - 52}" y="{y + _BAR - 5}">{_number(ratio["median"])}</text>',
        ]
    parts.append(f'<line class="one" x1="{one:.1f}" y1="0" x2="{one:.1f}" y2="{height}"/>')
    return _svg(height, parts)


def _memory_chart(bars: Mapping[str, Mapping[str, float]]) -> str:
    """By row, then by competitor. The longest bar of each row is as long as that of any other."""
    parts: list[str] = []
    y = 0
    for row, by_competitor in bars.items():
        parts.append(f'<text class="row" x="0" y="{y + _BAR - 5}">{html.escape(row)}</text>')
        axis = _Axis((0, max(by_competitor.values())), 0, _WIDTH - _LABELS - 60)
        for name, value in by_competitor.items():
            colour = _COLOURS[0] if is_skua(name) else "#999"
            width = max(axis.at(value), 1)
            parts += [
                _label(y, name),
                f'<rect x="{_LABELS}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}" fill="{colour}"/>',
                f'<text x="{_LABELS + width + 4:.1f}" y="{y + _BAR - 5}">{_number(value)}</text>',
            ]
            y += _BAR
        y += _BAR // 3
    return _svg(y, parts)


# --- Curves -------------------------------------------------------------------------------------


class _Pens:
    """Each competitor has one colour on the whole page."""

    def __init__(self, names: Iterable[str]) -> None:
        self._index = {name: i for i, name in enumerate(dict.fromkeys(names))}

    def colour(self, name: str) -> str:
        return _COLOURS[self._index[name] % len(_COLOURS)]

    def line(self, name: str) -> str:
        dash = _DASHES[self._index[name] // len(_COLOURS) % len(_DASHES)]
        return f'stroke="{self.colour(name)}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _curves(
    points: Mapping[str, Sequence[tuple[float, float, str]]],
    pens: _Pens,
    grid: Iterable[str],
    place: Callable[[float, float], tuple[float, float]],
) -> str:
    """A line for each competitor through its points, (x, y, what they say)."""
    parts = list(grid)
    for i, (name, line) in enumerate(points.items()):
        places = [place(x, y) for x, y, _ in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="curve" points="{path}" {pens.line(name)}/>')
        for (x, y), (_, _, said) in zip(places, line):
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{pens.colour(name)}">'
                f"<title>{html.escape(f'{name} {said}')}</title></circle>"
            )
        x, y = _WIDTH - _LEGEND + 16, 12 + i * _BAR
        parts.append(
            f'<line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}" stroke-width="2" {pens.line(name)}/>'
        )
        parts.append(f'<text x="{x + 32}" y="{y + 4}">{html.escape(name)}</text>')
    return _svg(max(_CURVES, _BAR * len(points)), parts)


def _nines(name: str) -> float:
    """Where a percentile stands: p90 at 1, p99 at 2; the maximum one after the last."""
    above = LATENCIES[name]
    return -math.log10(above) if above > 0 else 1 - math.log10(LATENCIES["p9999_us"])


def _percentile(name: str) -> str:
    digits = name.removesuffix("_us").removeprefix("p")
    return (
        digits if digits == "max" else f"p{digits[:2]}" + (f".{digits[2:]}" if digits[2:] else "")
    )


def _latency_chart(medians: Mapping[str, dict[str, Any]], pens: _Pens) -> str:
    """The distribution of each competitor: time, by how many of all take no more."""
    points = {
        name: [
            (_nines(key), run[key], f"{_percentile(key)} {_number(run[key])} us")
            for key in LATENCIES
            if run.get(key, 0) > 0
        ]
        for name, run in medians.items()
    }
    last = _WIDTH - _LEGEND
    across = _Axis([_nines(name) for name in LATENCIES], _LEFT, last)
    upward = _LogAxis([y for line in points.values() for _, y, _ in line], _CURVES, 8)
    grid = [_horizontal(upward.at(tick), last, f"{tick:g} us") for tick in upward.ticks()]
    grid += [_vertical(across.at(_nines(key)), _CURVES, _percentile(key)) for key in LATENCIES]
    return _curves(points, pens, grid, lambda x, y: (across.at(x), upward.at(y)))


def _scaling_chart(scaling: Sequence[dict[str, Any]], pens: _Pens) -> str:
    """Millions of ops a second of each competitor, by its workers."""
    points: dict[str, list[tuple[float, float, str]]] = {}
    for point in scaling:
        millions = point["ops_per_s"] / 1e6
        said = f"with {point['workers']}: {_number(millions)} million ops/s"
        points.setdefault(point["competitor"], []).append((point["workers"], millions, said))
    last = _WIDTH - _LEGEND
    counts = sorted({point["workers"] for point in scaling})
    most = max(y for line in points.values() for _, y, _ in line)
    across = _Axis(counts, _LEFT + 30, last - 30)
    upward = _Axis((0, most), _CURVES, 10)
    grid = [_horizontal(upward.at(most * i / 4), last, _number(most * i / 4)) for i in range(5)]
    grid += [_vertical(across.at(count), _CURVES, str(count)) for count in counts]
    return _curves(points, pens, grid, lambda x, y: (across.at(x), upward.at(y)))


# --- The page -----------------------------------------------------------------------------------


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
        for line in body
    )
    return f"<table><tr>{cells}</tr>{rows}</table>"


def _by_row(medians: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The medians by row, then by competitor. Not those with other numbers of workers, which `scaling` has."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for median in medians:
        row, name = median["row"], median["competitor"]
        if median["run_name"] == f"{row}/{name}":
            rows.setdefault(row, {})[name] = median
    return rows


def html_page(
    heading: str,
    report: dict[str, Any],
    tables: Sequence[tuple[str, Sequence[Sequence[str]]]],
) -> str:
    """`report` as Report.to_json() gives it; `tables` have titles, and their first line is the head."""
    rows = _by_row([b for b in report["benchmarks"] if b["run_type"] == "aggregate"])
    pens = _Pens(name for by_competitor in rows.values() for name in by_competitor)
    parts = [f"<h1>{html.escape(heading)}</h1>"]
    context = [["", ""]] + [
        [str(key), _text(value)] for key, value in report["context"].items() if value
    ]
    parts.append(_table(context))
    if report["ratios"]:
        parts.append(
            "<h2>Ratios: Skua to the peer</h2><p>Less is better, left of 1 for Skua, unless the name says otherwise: "
            "green where Skua is better, red where the peer is, grey within noise. The bar is the median of the "
            "rounds' ratios, the line across it reaches from the least to the most.</p>"
        )
        parts.append(_ratio_chart(report["ratios"]))
    latencies = {
        row: {n: run for n, run in runs.items() if any(run.get(key, 0) > 0 for key in LATENCIES)}
        for row, runs in rows.items()
    }
    if any(latencies.values()):
        parts.append(
            "<h2>Latencies</h2><p>How long the fastest part of all took at most: half of them (p50) to all but one "
            "in 10,000 (p99.99), and the slowest. Medians of the rounds.</p>"
        )
    for row, runs in latencies.items():
        if runs:
            parts.append(f"<h3>{html.escape(row)}</h3>{_latency_chart(runs, pens)}")
    if report["scaling"]:
        parts.append(
            "<h2>Throughput against workers</h2><p>Millions of ops a second, by the number of workers.</p>"
        )
    for row in dict.fromkeys(point["row"] for point in report["scaling"]):
        points = [point for point in report["scaling"] if point["row"] == row]
        parts.append(f"<h3>{html.escape(row)}</h3>{_scaling_chart(points, pens)}")
    memory = {
        row: {n: run["max_rss_kib"] / 1024 for n, run in runs.items() if run["max_rss_kib"] > 0}
        for row, runs in rows.items()
    }
    memory = {row: bars for row, bars in memory.items() if bars}
    if memory:
        parts.append(f"<h2>Memory</h2><p>Largest resident set, in MiB.</p>{_memory_chart(memory)}")
    for title, table in tables:
        parts.append(f"<h2>{html.escape(title)}</h2>{_table(table)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Skua compared</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
