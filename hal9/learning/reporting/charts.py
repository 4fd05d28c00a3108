"""Three small charts, drawn as SVG by hand (always works) or as PNG by matplotlib (extra `pictures`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hal9.errors.learning import ReportExtraMissing

__all__ = ["Bars", "Curve", "Stack", "draw_png", "draw_svg"]

# Tells apart also for most colour-blind people (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 34, 40
_ROW = 22
_LONGEST = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A share over the number of tasks, with a band; `marks` are places at which `marked` happened."""

    title: str
    below: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    marks: Sequence[float] = ()
    marked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Counts by kind in groups of equal size."""

    title: str
    below: str
    labels: Sequence[str]
    parts: dict[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One value within 0..1 per name, with a note at its end."""

    title: str
    names: Sequence[str]
    values: Sequence[float]
    notes: Sequence[str]


Chart = Curve | Stack | Bars


# --- SVG ------------------------------------------------------------------------------------------


def _text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def _page(body: list[str], title: str, height: float = _HEIGHT) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" font-family="sans-serif" fill="#222" role="img" aria-label="{escape(title)}">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>'
    return "\n".join([head, ground, _text(_WIDTH / 2, 20, title, size=14), *body, "</svg>", ""])


def _frame(below: str, ticks: Sequence[tuple[float, str]]) -> list[str]:
    """The axes, with marks on the left: (height within 0..1, words)."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = [
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#444"/>',
        _text((_LEFT + right) / 2, _HEIGHT - 8, below),
    ]
    for height, words in ticks:
        y = bottom - height * (bottom - _TOP)
        lines.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        lines.append(_text(_LEFT - 6, y + 4, words, anchor="end", size=11))
    return lines


def _curve(chart: Curve) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    first, last = chart.x[0], chart.x[-1]

    def at(x: float, y: float) -> str:
        across = (x - first) / (last - first) if last > first else 0.5
        return f"{_LEFT + across * (right - _LEFT):.1f},{bottom - y * (bottom - _TOP):.1f}"

    upper = [at(x, y) for x, y in zip(chart.x, chart.high, strict=True)]
    lower = [at(x, y) for x, y in zip(chart.x, chart.low, strict=True)]
    middle = [at(x, y) for x, y in zip(chart.x, chart.y, strict=True)]
    body = _frame(chart.below, [(share / 4, f"{25 * share}%") for share in range(5)])
    band = " ".join(upper + lower[::-1])
    body.append(f'<polygon points="{band}" fill="{COLOURS[0]}" fill-opacity="0.18"/>')
    body.append(f'<polyline points="{" ".join(middle)}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    marks = [mark for mark in chart.marks if first <= mark <= last]
    for mark in marks:
        x = float(at(mark, 0.0).split(",")[0])
        body.append(f'<path d="M{x - 4:.1f} {bottom}h8l-4 -9z" fill="{COLOURS[1]}"/>')
    if marks:
        body.append(f'<path d="M{right - 250} {bottom - 12}h8l-4 -9z" fill="{COLOURS[1]}"/>')
        body.append(_text(right - 236, bottom - 12, chart.marked, anchor="start", size=11))
    body.append(_text(_LEFT, bottom + 16, f"{first:g}", size=11))
    body.append(_text(right, bottom + 16, f"{last:g}", anchor="end", size=11))
    return _page(body, chart.title)


def _highest(chart: Stack) -> int:
    return max((sum(column) for column in zip(*chart.parts.values(), strict=True)), default=0) or 1


def _whole_ticks(top: int) -> list[int]:
    """Zero, the top, and about three whole numbers between."""
    step = max(1, -(-top // 4))
    return sorted({*range(0, top - step // 2, step), top})


def _stack(chart: Stack) -> str:
    right, bottom = _WIDTH - _RIGHT - 150, _HEIGHT - _BOTTOM
    top = _highest(chart)
    body = _frame(chart.below, [(count / top, str(count)) for count in _whole_ticks(top)])
    wide = (right - _LEFT) / len(chart.labels)
    filled = [0] * len(chart.labels)
    for number, (name, counts) in enumerate(chart.parts.items()):
        colour = COLOURS[number % len(COLOURS)]
        for column, count in enumerate(counts):
            if count:
                filled[column] += count
                y = bottom - filled[column] / top * (bottom - _TOP)
                tall = count / top * (bottom - _TOP)
                x = _LEFT + column * wide + wide * 0.1
                body.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide * 0.8:.1f}" '
                    f'height="{tall:.1f}" fill="{colour}"/>'
                )
        y = _TOP + 8 + 18 * number
        body.append(f'<rect x="{right + 12}" y="{y}" width="10" height="10" fill="{colour}"/>')
        body.append(_text(right + 28, y + 9, name, anchor="start", size=11))
    for column, label in enumerate(chart.labels):
        body.append(_text(_LEFT + (column + 0.5) * wide, bottom + 16, label, size=10))
    return _page(body, chart.title)


def _bars(chart: Bars) -> str:
    left, right = 290, _WIDTH - 90
    body = []
    for row, (name, value, note) in enumerate(zip(chart.names, chart.values, chart.notes, strict=True)):
        y = _TOP + 8 + row * _ROW
        long = value * (right - left)
        shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        body.append(_text(left - 8, y + 12, shown, anchor="end", size=11))
        body.append(
            f'<rect x="{left}" y="{y}" width="{right - left}" height="{_ROW - 6}" fill="#f0f0f0"/>'
            f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{_ROW - 6}" fill="{COLOURS[0]}"/>'
        )
        body.append(_text(right + 6, y + 12, note, anchor="start", size=11))
    return _page(body, chart.title, _TOP + 20 + _ROW * len(chart.names))


def draw_svg(chart: Chart, path: Path) -> None:
    """Write one chart as SVG."""
    drawn = (
        _curve(chart)
        if isinstance(chart, Curve)
        else _stack(chart)
        if isinstance(chart, Stack)
        else _bars(chart)
    )
    path.write_text(drawn, encoding="utf-8")


# --- PNG ------------------------------------------------------------------------------------------


def draw_png(chart: Chart, path: Path) -> None:
    """Write one chart as PNG.

    Raises:
        ReportExtraMissing: matplotlib is not installed (extra "pictures").
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional library
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ReportExtraMissing from error
    tall = 3.2 if not isinstance(chart, Bars) else 0.9 + 0.27 * len(chart.names)
    figure = Figure(figsize=(7, tall), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(chart.title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.set_axisbelow(True)
    if isinstance(chart, Curve):
        _curve_on(axes, chart)
    elif isinstance(chart, Stack):
        _stack_on(axes, chart)
    else:
        _bars_on(axes, chart)
    figure.savefig(path, dpi=120)


def _curve_on(axes: Any, chart: Curve) -> None:
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.fill_between(
        chart.x, chart.low, chart.high, alpha=0.18, color=COLOURS[0], linewidth=0, label="95% interval"
    )
    axes.plot(chart.x, chart.y, color=COLOURS[0], linewidth=2, clip_on=False, label="passed")
    marks = [mark for mark in chart.marks if chart.x[0] <= mark <= chart.x[-1]]
    if marks:
        axes.plot(
            marks, [0.0] * len(marks), "^", color=COLOURS[1], markersize=7, clip_on=False, label=chart.marked
        )
    axes.set(ylim=(0, 1), xlim=(chart.x[0], chart.x[-1] if chart.x[-1] > chart.x[0] else chart.x[0] + 1))
    axes.set_xlabel(chart.below, fontsize=9)
    axes.yaxis.set_major_formatter(lambda share, _place: f"{share:.0%}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, loc="lower right", frameon=False)


def _stack_on(axes: Any, chart: Stack) -> None:
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    filled = [0] * len(chart.labels)
    for number, (name, counts) in enumerate(chart.parts.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(chart.labels, counts, bottom=filled, label=name, color=colour)
        filled = [done + count for done, count in zip(filled, counts, strict=True)]
    axes.set_xlabel(chart.below, fontsize=9)
    axes.set_ylabel("errors", fontsize=9)
    axes.set_ylim(0, max([*filled, 1]) * 1.05)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if chart.parts:
        axes.legend(fontsize=8, frameon=False)


def _bars_on(axes: Any, chart: Bars) -> None:
    places = range(len(chart.names))
    axes.barh(places, [1.0] * len(chart.names), color="#f0f0f0", height=0.7)
    axes.barh(places, chart.values, color=COLOURS[0], height=0.7)
    axes.set_yticks(places, chart.names, fontsize=8)
    axes.set(xlim=(0, 1))
    axes.spines[["left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    for place, note in zip(places, chart.notes, strict=True):
        axes.text(1.01, place, note, va="center", fontsize=8)
