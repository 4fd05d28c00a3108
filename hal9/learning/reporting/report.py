"""What learning has brought so far, as a Markdown page with charts."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from hal9.database import Connection
from hal9.errors.learning import ReportExtraMissing, ReportUnwritable
from hal9.learning.reporting.charts import Bars, Chart, Curve, Stack, draw_png, draw_svg
from hal9.learning.reporting.metrics import Figure, Judged, Metrics, judged_tasks, measure, wilson
from hal9.learning.state.ledger import Ledger
from hal9.memory import MemoryStore

__all__ = ["Report", "charts", "write_report"]

_GROUPS = 10
_MOST_EDGES = 16
_LEAST_CURVE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written."""

    metrics: Metrics
    files: tuple[Path, ...]
    notice: str = ""


def write_report(
    store: MemoryStore, folder: Path, *, journal: Connection | None = None, pictures: bool = True
) -> Report:
    """Write report.md, the charts as SVG and, when matplotlib is there and wanted, as PNG.

    Args:
        store: the open memory file.
        folder: made if need be; older files of a report in it are replaced.
        journal: a connection that may read the journal.
        pictures: PNG too.

    Raises:
        ReportUnwritable: the folder cannot be written.
    """
    metrics = measure(store, journal)
    drawn = charts(store, judged_tasks(store))
    notice = ""
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, chart in drawn.items():
            draw_svg(chart, folder / f"{name}.svg")
            files.append(folder / f"{name}.svg")
            if pictures and not notice:
                try:
                    draw_png(chart, folder / f"{name}.png")
                    files.append(folder / f"{name}.png")
                except ReportExtraMissing as error:
                    notice = str(error)
        page = folder / "report.md"
        page.write_text(_page(metrics, drawn, now=store.clock.now()), encoding="utf-8")
    except OSError as error:
        raise ReportUnwritable(folder=str(folder), detail=str(error)) from error
    return Report(metrics=metrics, files=(page, *files), notice=notice)


def charts(store: MemoryStore, judged: Sequence[Judged]) -> dict[str, Chart]:
    """The charts there is data for, by file name."""
    found: dict[str, Chart] = {}
    if len(judged) >= _LEAST_CURVE:
        found["success"] = _success(judged, _learned_at(store))
        if any(not task.passed for task in judged):
            found["errors"] = _errors(judged)
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT from_neuron, to_neuron, task_class, weight, success_count, failure_count FROM weights "
            "ORDER BY success_count + failure_count DESC, from_neuron, to_neuron LIMIT ?",
            (_MOST_EDGES,),
        ).fetchall()
    if rows:
        found["weights"] = Bars(
            title="Connection weights (successes / failures)",
            names=[f"{row['from_neuron']} → {row['to_neuron']} ({row['task_class']})" for row in rows],
            values=[row["weight"] for row in rows],
            notes=[
                f"{row['weight']:.2f} ({row['success_count']:.0f}/{row['failure_count']:.0f})" for row in rows
            ],
        )
    return found


def _learned_at(store: MemoryStore) -> list[float]:
    """When rules and changes of prompts came into force."""
    rows = Ledger(store).rows(kinds=("mitigation", "state"))
    return [
        row.time
        for row in rows
        if row.after == ("admitted" if row.kind == "mitigation" else "applied") and row.before != row.after
    ]


def _success(judged: Sequence[Judged], learned: Sequence[float]) -> Curve:
    window = max(_LEAST_CURVE, len(judged) // 5)
    x, y, low, high = [], [], [], []
    for end in range(window, len(judged) + 1):
        passed = sum(task.passed for task in judged[end - window : end])
        bounds = wilson(passed, window)
        x.append(float(end))
        y.append(passed / window)
        low.append(bounds[0])
        high.append(bounds[1])
    times = [task.at for task in judged]
    return Curve(
        title=f"Tasks passed, over the last {window}",
        below="judged tasks",
        x=x,
        y=y,
        low=low,
        high=high,
        marks=sorted({float(max(window, bisect_right(times, when))) for when in learned}),
        marked="something learned came into force",
    )


def _errors(judged: Sequence[Judged]) -> Stack:
    groups = min(_GROUPS, len(judged))
    edges = [len(judged) * number // groups for number in range(groups + 1)]
    counted = [
        Counter(task.error_type or "unknown" for task in judged[start:end] if not task.passed)
        for start, end in pairwise(edges)
    ]
    kinds = sorted({kind for counter in counted for kind in counter})
    return Stack(
        title="Errors by type",
        below="judged tasks, up to number",
        labels=[str(end) for end in edges[1:]],
        parts={kind: [counter[kind] for counter in counted] for kind in kinds},
    )


_ROWS: tuple[tuple[str, str, str], ...] = (
    ("error_reduction", "Error reduction rate", "share of the early errors that no longer happen"),
    ("pattern_accuracy", "Pattern recognition accuracy", "known patterns recognised, and rightly"),
    ("pattern_precision", "… precision", "of the tasks given a memory, those that passed"),
    ("pattern_recall", "… recall", "of the tasks a known pattern concerned, those recognised and passed"),
    ("adjustment_success", "Adjustment success rate", "of the decided adjustments, those that stayed"),
    ("improvement", "Overall improvement", "late minus early success rate, class by class"),
)


def _page(metrics: Metrics, drawn: dict[str, Chart], *, now: float) -> str:
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    states = ", ".join(f"{count} {state}" for state, count in sorted(metrics.tasks.items())) or "unknown"
    lines = [
        "# What the cluster has learned",
        "",
        f"{when}. Tasks: {states}; judged: {metrics.judged}. Intervals are 95%.",
        "",
        "| figure | value | interval | from | meaning |",
        "|---|---:|---:|---|---|",
    ]
    for name, title, meaning in _ROWS:
        figure: Figure = getattr(metrics, name)
        counts = ", ".join(f"{what} {count:g}" for what, count in figure.counts)
        if figure.value is None or figure.low is None or figure.high is None:
            lines.append(f"| {title} | none | | {figure.why_not} | {meaning} |")
        else:
            interval = f"{figure.low:+.1%} … {figure.high:+.1%}"
            lines.append(f"| {title} | {figure.value:+.1%} | {interval} | {counts} | {meaning} |")
    for name, chart in drawn.items():
        lines += ["", f"![{chart.title}]({name}.svg)"]
    return "\n".join([*lines, ""])
