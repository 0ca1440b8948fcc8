# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file with pictures, which needs nothing from the network."""

from __future__ import annotations

import html
import math
from typing import Any, Iterable, Sequence

# Percentiles that rows with latencies report, in the order of a distribution.
_LATENCIES = ("p50_us", "p99_us", "p999_us", "max_us")
_WIDTH = 900  # Of a chart, in px.
_LABELS = 260  # Of which for the names at its left.
_BAR = 18  # Height of a line.
_COLOURS = ("#1b6ca8", "#c0572b", "#3c8d4f", "#8a5aa8", "#a8871b", "#b03a5b", "#4d7c7c", "#777777")

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 960px; color: #222; }
h1, h2 { font-weight: 600; } table { border-collapse: collapse; }
td, th { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums; }
svg { display: block; margin: 1em 0; } svg text { font: 12px system-ui, sans-serif; fill: #222; }
.axis { stroke: #ccc; } .one { stroke: #222; } .span { stroke: #222; stroke-width: 1.5; }
"""


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    return str(value)


class _LogAxis:
    """Maps values to x, a decade after the other."""

    def __init__(self, values: Sequence[float]) -> None:
        low = math.floor(math.log10(min(values)) * 2) / 2
        high = math.ceil(math.log10(max(values)) * 2) / 2
        self._low, self._high = low, max(high, low + 0.5)

    def x(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return _LABELS + share * (_WIDTH - _LABELS - 60)

    def lines(self, height: int) -> Iterable[str]:
        first, last = math.ceil(self._low), math.floor(self._high)
        ticks = [
            step * 10.0**exponent for exponent in range(first - 1, last + 1) for step in (1, 2, 5)
        ]
        for tick in ticks:
            if not self._low <= math.log10(tick) <= self._high:
                continue
            x = self.x(tick)
            yield f'<line class="axis" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}"/>'
            yield f'<text x="{x:.1f}" y="{height + 14}" text-anchor="middle">{tick:g}</text>'


def _svg(height: int, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height + 20}" width="{_WIDTH}" role="img">{"".join(parts)}</svg>'


def _label(y: int, text: str) -> str:
    return (
        f'<text x="{_LABELS - 8}" y="{y + _BAR - 5}" text-anchor="end">{html.escape(text)}</text>'
    )


def _ratio_chart(ratios: Sequence[dict[str, Any]]) -> str:
    values = [ratio[key] for ratio in ratios for key in ("min", "max")]
    axis = _LogAxis([*values, 0.5, 2])
    height = _BAR * len(ratios)
    parts = list(axis.lines(height))
    one = axis.x(1)
    for i, ratio in enumerate(ratios):
        y = i * _BAR
        x = axis.x(ratio["median"])
        colour = "#999" if ratio["crosses_one"] else "#3c8d4f" if ratio["median"] < 1 else "#c0572b"
        middle = y + _BAR / 2
        parts += [
            _label(y, f"{ratio['row']} / {ratio['to']}"),
            f'<rect x="{min(x, one):.1f}" y="{y + 3}" width="{abs(x - one):.1f}" height="{_BAR - 6}" fill="{colour}"/>',
            f'<line class="span" x1="{axis.x(ratio["min"]):.1f}" y1="{middle}" '
            f'x2="{axis.x(ratio["max"]):.1f}" y2="{middle}"/>',
            f'<text x="{_WIDTH - 52}" y="{y + _BAR - 5}">{_number(ratio["median"])}</text>',
        ]
    parts.append(f'<line class="one" x1="{one:.1f}" y1="0" x2="{one:.1f}" y2="{height}"/>')
    return _svg(height, parts)


def _bar_chart(bars: Sequence[tuple[str, float]]) -> str:
    axis = _LogAxis([value for _, value in bars])
    height = _BAR * len(bars)
    parts = list(axis.lines(height))
    for i, (name, value) in enumerate(bars):
        y = i * _BAR
        width = max(axis.x(value) - _LABELS, 1)
        colour = _COLOURS[0] if name.split(" / ")[1].startswith("skua") else "#999"
        parts += [
            _label(y, name),
            f'<rect x="{_LABELS}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}" fill="{colour}"/>',
            f'<text x="{_LABELS + width + 4:.1f}" y="{y + _BAR - 5}">{_number(value)}</text>',
        ]
    return _svg(height, parts)


def _latency_chart(medians: Sequence[dict[str, Any]]) -> str:
    """A line for each competitor: its percentiles, as dots on one axis of time."""
    found = [[run.get(name, 0) for name in _LATENCIES if run.get(name, 0) > 0] for run in medians]
    axis = _LogAxis([value for values in found for value in values])
    height = _BAR * len(medians)
    parts = list(axis.lines(height))
    for i, (run, values) in enumerate(zip(medians, found)):
        colour = _COLOURS[i % len(_COLOURS)]
        y = i * _BAR + _BAR / 2
        parts.append(_label(i * _BAR, run["run_name"].partition("/")[2]))
        parts.append(
            f'<line x1="{axis.x(min(values)):.1f}" y1="{y}" x2="{axis.x(max(values)):.1f}" y2="{y}" stroke="{colour}"/>'
        )
        for name in _LATENCIES:
            if run.get(name, 0) > 0:
                x = axis.x(run[name])
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}">'
                    f"<title>{name} {_number(run[name])}</title></circle>"
                )
    return _svg(height, parts)


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
        for line in body
    )
    return f"<table><tr>{cells}</tr>{rows}</table>"


def html_page(report: dict[str, Any], tables: Sequence[tuple[str, Sequence[Sequence[str]]]]) -> str:
    """`report` as Report.to_json() gives it; `tables` have titles, and their first line is the head."""
    medians = [b for b in report["benchmarks"] if b["run_type"] == "aggregate"]
    parts = ["<h1>Skua compared</h1>"]
    context = [["", ""]] + [
        [str(key), _text(value)] for key, value in report["context"].items() if value
    ]
    parts.append(_table(context))
    if report["ratios"]:
        parts.append(
            "<h2>Ratios: Skua to the peer</h2><p>Left of 1, Skua took less. The bar is the median of the rounds' "
            "ratios, the line across it reaches from the least to the most; grey where the rounds do not agree.</p>"
        )
        parts.append(_ratio_chart(report["ratios"]))
    rows_with_latency = dict.fromkeys(
        b["run_name"].partition("/")[0]
        for b in medians
        if any(b.get(name, 0) > 0 for name in _LATENCIES)
    )
    if rows_with_latency:
        parts.append(
            "<h2>Latencies</h2><p>Medians of p50, p99, p99.9 (where measured) and the maximum, in us.</p>"
        )
    for row in rows_with_latency:
        shown = [b for b in medians if b["run_name"].partition("/")[0] == row]
        shown = [b for b in shown if any(b.get(name, 0) > 0 for name in _LATENCIES)]
        parts.append(f"<h3>{html.escape(row)}</h3>{_latency_chart(shown)}")
    memory = [
        (b["run_name"].replace("/", " / ", 1), b["max_rss_kib"] / 1024)
        for b in medians
        if b["max_rss_kib"] > 0
    ]
    if memory:
        parts.append(f"<h2>Memory</h2><p>Largest resident set, in MiB.</p>{_bar_chart(memory)}")
    for title, table in tables:
        parts.append(f"<h2>{html.escape(title)}</h2>{_table(table)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Skua compared</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
