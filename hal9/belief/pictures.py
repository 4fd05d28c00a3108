"""Pictures of a run as SVG, written without any library: who descended from whom, and score over budget."""

import math
from collections.abc import Sequence
from html import escape

from hal9.belief.genealogy import Birth, Genealogy

__all__ = ["draw_genealogy", "draw_scores"]

_COLOURS = ("#3366a8", "#c2571a", "#3c8c4a", "#8a4fa3", "#a83250", "#5f6b2d", "#2a8c93", "#7a5a3a")
_ENDS = {"converged": "became the same", "outdone": "outdone", "merged": "merged", "evicted": "evicted"}
_WIDTH, _LEFT, _RIGHT = 900, 110, 170
_FONT = 'font-family="sans-serif" font-size="12"'


def draw_genealogy(genealogy: Genealogy, spent: int, title: str = "Genealogy") -> str:
    """One line per node over the evaluations spent: births branch off, deaths join their heir."""
    births = list(genealogy.births.values())
    rows = {birth.id: 70 + 34 * index for index, birth in enumerate(births)}
    height = 70 + 34 * len(births) + 40
    parts = [*_frame(height, title, spent), *_ticks(height, spent)]
    for index, birth in enumerate(births):
        colour = _COLOURS[index % len(_COLOURS)]
        y, start = rows[birth.id], _x(birth.born, spent)
        end = _x(spent if birth.died is None else birth.died, spent)
        parts.append(f'<path d="M{start:.1f} {y}H{end:.1f}" stroke="{colour}" stroke-width="3" fill="none"/>')
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end" {_FONT}>{escape(birth.id)}</text>'
        )
        if birth.parent in rows:
            parts.append(_curve(start, rows[birth.parent], y, colour))
        parts += [
            f'<circle cx="{_x(at, spent):.1f}" cy="{y}" r="3.5" fill="{colour}"/>' for at, _ in birth.trace
        ]
        if birth.died is not None and birth.heir in rows:
            parts.append(_curve(end, y, rows[birth.heir], colour, dashed=True))
            parts.append(
                f'<text x="{end + 8:.1f}" y="{y + 4}" {_FONT} fill="#555">{_ENDS.get(birth.end, "")}</text>'
            )
        else:
            parts.append(
                f'<text x="{end + 8:.1f}" y="{y + 4}" {_FONT} fill="#555">{_last_score(birth)}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def draw_scores(genealogy: Genealogy, spent: int, title: str = "Score over budget") -> str:
    """Each node's mean score on its own items after every commit, as steps."""
    births = [birth for birth in genealogy.births.values() if birth.trace]
    values = [score for birth in births for _, score in birth.trace] or [0.0, 1.0]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    low, high = low - 0.08 * span, high + 0.08 * span
    height, top, bottom = 420, 50, 370

    def y(score: float) -> float:
        return bottom - (score - low) / (high - low) * (bottom - top)

    parts = [*_frame(height, title, spent), *_ticks(height, spent)]
    for index in range(5):
        level = low + (high - low) * index / 4
        parts.append(f'<path d="M{_LEFT} {y(level):.1f}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>')
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y(level) + 4:.1f}" text-anchor="end" {_FONT}>{level:.3f}</text>'
        )
    labels = _spread([(y(birth.trace[-1][1]), birth.id) for birth in births])
    for index, birth in enumerate(births):
        colour = _COLOURS[index % len(_COLOURS)]
        end = _x(spent if birth.died is None else birth.died, spent)
        path = [f"M{_x(birth.trace[0][0], spent):.1f} {y(birth.trace[0][1]):.1f}"]
        path += [f"H{_x(at, spent):.1f}V{y(score):.1f}" for at, score in birth.trace[1:]]
        parts.append(
            f'<path d="{"".join(path)}H{end:.1f}" stroke="{colour}" stroke-width="2.5" fill="none"/>'
        )
        label = f"{escape(birth.id)} {birth.trace[-1][1]:.3f}"
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 12}" y="{labels[birth.id] + 4:.1f}" {_FONT} '
            f'fill="{colour}">{label}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _frame(height: int, title: str, spent: int) -> list[str]:
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    total = f"item evaluations spent: {spent}"
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="28" font-family="sans-serif" font-size="16">{escape(title)}</text>',
        f'<text x="{_WIDTH - 12}" y="28" text-anchor="end" {_FONT} fill="#555">{total}</text>',
    ]


def _ticks(height: int, spent: int) -> list[str]:
    parts = []
    for index in range(5):
        at = spent * index // 4
        x, style = f"{_x(at, spent):.1f}", f'text-anchor="middle" {_FONT} fill="#555"'
        parts.append(f'<path d="M{x} 45V{height - 35}" stroke="#f0f0f0"/>')
        parts.append(f'<text x="{x}" y="{height - 15}" {style}>{at}</text>')
    return parts


def _x(at: int, spent: int) -> float:
    return _LEFT + at / max(spent, 1) * (_WIDTH - _LEFT - _RIGHT)


def _curve(x: float, y_from: float, y_to: float, colour: str, *, dashed: bool = False) -> str:
    style = ' stroke-dasharray="4 4"' if dashed else ""
    path = f"M{x:.1f} {y_from:.1f}V{y_to:.1f}"
    return f'<path d="{path}" stroke="{colour}" stroke-width="1.5" fill="none"{style}/>'


def _last_score(birth: Birth) -> str:
    known = birth.trace and not math.isnan(birth.trace[-1][1])
    return f"alive, {birth.trace[-1][1]:.3f}" if known else "alive"


def _spread(wanted: Sequence[tuple[float, str]], gap: float = 15.0) -> dict[str, float]:
    """Label heights near the wanted ones, at least `gap` apart."""
    placed: dict[str, float] = {}
    last = float("-inf")
    for height, name in sorted(wanted):
        last = max(height, last + gap)
        placed[name] = last
    return placed
