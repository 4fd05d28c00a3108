"""What a run leaves for people: report.md with the prompt's changes, what was tried, and the curve as SVG."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from hal9.promptgram import diff
from hal9.tuning.candidates import added_rules
from hal9.tuning.judging import HeldOut
from hal9.tuning.story import SearchResult, SearchStep

__all__ = ["curve_svg", "report_text", "write_report"]

_WIDTH, _HEIGHT, _MARGIN = 640, 260, 44


def write_report(folder: Path, result: SearchResult, held_out: HeldOut, *, name: str, outcome: str) -> Path:
    """Write report.md and curve.svg; returns the report's path."""
    (folder / "curve.svg").write_text(curve_svg(result.steps), encoding="utf-8")
    path = folder / "report.md"
    path.write_text(report_text(result, held_out, name=name, outcome=outcome), encoding="utf-8")
    return path


def report_text(result: SearchResult, held_out: HeldOut, *, name: str, outcome: str) -> str:
    """The report as Markdown."""
    winner, base = result.winner, result.base
    rules = added_rules(winner.promptgram, base.promptgram)
    lines = [
        f"# Tuning {name}",
        "",
        f"{held_out.told()}.",
        "",
        f"{outcome} The search ended because of: {result.reason}. {_sentence(result.noise.told())}",
        "",
        "![Score of the best prompt over task calls](curve.svg)",
        "",
        "## What changed",
        "",
        "```diff",
        diff(base.promptgram, winner.promptgram).strip() or "(nothing)",
        "```",
        "",
    ]
    if rules:
        lines += [
            "Rules that stayed:",
            "",
            *(f"- {section}: {item.lstrip('-* ')}" for section, item in rules),
            "",
        ]
    if result.removed:
        lines += [
            "Rules that were taken out again, because the tasks go as well without them:",
            "",
            *(f"- {section}: {item.lstrip('-* ')}" for section, item in result.removed),
            "",
        ]
    lines += ["## What was tried", "", "| calls | best | what |", "|---|---|---|"]
    lines += [f"| {one.calls} | {one.score:.3f} | {one.kind}: {_cell(one.text)} |" for one in result.steps]
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:240]


def curve_svg(steps: Sequence[SearchStep]) -> str:
    """The best prompt's estimated score over task calls, as a step curve."""
    most = max((one.calls for one in steps), default=1)
    points: list[str] = []
    height = 0.0
    for one in steps:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * one.calls / max(1, most)
        y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * min(1.0, max(0.0, one.score))
        if points:
            points.append(f"{x:.1f},{height:.1f}")
        points.append(f"{x:.1f},{y:.1f}")
        height = y
    grid = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * share
        grid.append(
            f'<line x1="{_MARGIN}" y1="{y:.1f}" x2="{_WIDTH - _MARGIN}" y2="{y:.1f}" stroke="#d0d4da"/>'
            f'<text x="{_MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>'
        )
    label = escape(f"score of the best prompt over {most} task calls")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}" font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>{"".join(grid)}'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#2563a8" stroke-width="2.5"/>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 10}" text-anchor="middle">task calls (0 to {most})</text>'
        f'<text x="{_WIDTH / 2}" y="20" text-anchor="middle">{label}</text></svg>\n'
    )
