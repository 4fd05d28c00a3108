"""Mixed graphs as SVG and DOT, with the uncertainty of every edge visible.

Causes are drawn above their effects in layers. A solid arrow is a direct cause, a line without tips an edge
whose direction is undecided, a dashed double arrow a hidden common cause, a rounded dashed box a latent
variable; the darker and thicker a line, the more probable, and the probability stands beside it.
"""

import itertools
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.model.graph import topological_order

__all__ = ["Drawn", "DrawnEdge", "dot", "picture", "svg"]

_WIDTH_PER_LETTER, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 8.2, 34, 84, 104, 70


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """One edge; `kind` is "->", "<->" (a hidden common cause), or "--" (which way is undecided)."""

    source: str
    target: str
    probability: float
    kind: str = "->"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn: variables, edges, latents (drawn as boxes with arrows to their children), a title."""

    names: Sequence[str]
    edges: Sequence[DrawnEdge]
    latents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    title: str = ""


def dot(graph: Drawn) -> str:
    """Graphviz source."""
    lines = ["digraph causes {", "  rankdir=TB;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    lines += ['  edge [fontname="sans-serif", fontsize=10];']
    lines += [f"  {_quoted(name)};" for name in graph.names]
    lines += [f"  {_quoted(name)} [style=dashed];" for name in graph.latents if name not in graph.names]
    for edge in graph.edges:
        options = [f"label={_quoted(_label(edge))}", f"penwidth={0.6 + 2 * edge.probability:.2f}"]
        if edge.kind == "<->":
            options += ["dir=both", "style=dashed", "constraint=false"]
        elif edge.kind == "--":
            options += ["dir=none"]
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [{', '.join(options)}];")
    for latent, children in graph.latents.items():
        lines += [f"  {_quoted(latent)} -> {_quoted(child)} [style=dotted];" for child in children]
    return "\n".join([*lines, "}"]) + "\n"


def picture(graph: Drawn) -> str:
    """SVG by Graphviz where `dot` is installed, else by our own layout."""
    program = shutil.which("dot")
    if program is None or not graph.names:
        return svg(graph)
    source = dot(graph).replace(
        "rankdir=TB;", f'rankdir=TB; fontname="sans-serif"; labelloc=t; label={_quoted(graph.title)};', 1
    )
    try:
        made = subprocess.run(
            [program, "-Tsvg"], input=source, capture_output=True, text=True, timeout=120, check=True
        )
    except (OSError, subprocess.SubprocessError):
        # A picture of our own is better than none; both show the same graph.
        return svg(graph)
    return made.stdout


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _label(edge: DrawnEdge) -> str:
    chance = f"{edge.probability:.2f}"
    return f"{edge.label} ({chance})" if edge.label else chance


def _layers(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Longest-path layering, ordered by the mean position of causes; isolated variables come last."""
    row = {name: k for k, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), dtype=bool)
    for source, target in arrows:
        matrix[row[source], row[target]] = True
    order = topological_order(matrix)
    level = [0] * len(names)
    for node in order or []:
        for child in np.flatnonzero(matrix[node, :]):
            level[child] = max(level[child], level[node] + 1)
    touched = np.asarray(matrix.any(axis=0) | matrix.any(axis=1), dtype=bool)
    depth = max(level, default=0)
    layers: list[list[str]] = [[] for _ in range(depth + 2)]
    for k, name in enumerate(names):
        layers[level[k] if touched[k] else depth + 1].append(name)
    layers = [layer for layer in layers if layer]
    for _ in range(4):
        for above, below in itertools.pairwise(layers):
            place = {name: (k + 0.5) / len(above) for k, name in enumerate(above)}
            below.sort(key=lambda name: _mean([place[s] for s, t in arrows if t == name and s in place]))
    return layers


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def _width(name: str) -> float:
    return max(46.0, len(name) * _WIDTH_PER_LETTER + 20)


def _positions(
    layers: Sequence[Sequence[str]], edges: int
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Centres of the boxes, and the width and height that they take.

    Layers are as wide as the widest, and further apart the more edges run between them.
    """
    boxes = [sum(_width(name) for name in layer) for layer in layers]
    full = max((b + _GAP_X * (len(layer) - 1) for b, layer in zip(boxes, layers, strict=True)), default=0.0)
    deep = _GAP_Y + min(2.0 * _GAP_Y, max(0.0, 6.0 * (edges / max(1, len(layers)) - 3.0)))
    spots: dict[str, tuple[float, float]] = {}
    for depth, (layer, boxed) in enumerate(zip(layers, boxes, strict=True)):
        gap = min(4.0 * _GAP_X, (full - boxed) / len(layer)) if len(layer) > 2 else _GAP_X
        gap = max(_GAP_X, gap)
        # Odd layers are shifted a little, so that arrows across a layer miss its boxes.
        x = _MARGIN + (full - boxed - gap * (len(layer) - 1)) / 2 + (18 if depth % 2 else 0)
        for name in layer:
            spots[name] = (x + _width(name) / 2, _MARGIN + 30 + depth * deep)
            x += _width(name) + gap
    return spots, full + 2 * _MARGIN + 18, 2 * _MARGIN + 30 + max(0, len(layers) - 1) * deep


def svg(graph: Drawn) -> str:
    """A self-contained SVG picture."""
    latents = {name: children for name, children in graph.latents.items() if name not in graph.names}
    names = [*graph.names, *latents]
    arrows = [(e.source, e.target) for e in graph.edges if e.kind in ("->", "--")]
    arrows += [(latent, child) for latent, children in latents.items() for child in children]
    spots, width, height = _positions(_layers(names, arrows), len(arrows))
    hidden = [
        DrawnEdge(latent, child, 0.5, "latent") for latent, children in latents.items() for child in children
    ]
    straight = {frozenset(arrow) for arrow in arrows}
    lines = [
        _line(edge, spots, beside=edge.kind == "<->" and frozenset((edge.source, edge.target)) in straight)
        for edge in (*graph.edges, *hidden)
    ]
    labels = _labels(lines, spots)
    left = min([0.0, *(x - long / 2 - 8 for _, x, _, long in labels), *(_side(line, min) for line in lines)])
    right = max([width, *(x + long / 2 + 8 for _, x, _, long in labels)])
    right = max([right, *(_side(line, max) for line in lines)])
    caption = "effect (probability)" if any(edge.label for edge in graph.edges) else "probability"
    wide = max(right - left, 7.6 * len(graph.title) + 48, 190.0)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} 0 {wide:.0f} {height:.0f}" '
            f'width="{wide:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="13">'
        ),
        f"<title>{escape(graph.title or 'causal graph')}</title>",
        (
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
            '<path d="M0 0L10 5L0 10z" fill="#334"/></marker></defs>'
        ),
        f'<rect x="{left:.0f}" width="{wide:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'<text x="{left + 24:.0f}" y="30" font-weight="bold" fill="#223">{escape(graph.title)}</text>',
        f'<text x="{left + 24:.0f}" y="48" font-size="11" fill="#667">{caption}</text>',
    ]
    parts += [line.path for line in lines]
    parts += [_box(name, spots[name], hidden=name in latents) for name in names]
    parts += [_tag(*label) for label in labels]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(name: str, spot: tuple[float, float], *, hidden: bool) -> str:
    x, y = spot
    width = _width(name)
    style = (
        'fill="#fff7e6" stroke="#b8860b" stroke-dasharray="5 3"' if hidden else 'fill="#eef3fb" stroke="#456"'
    )
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y - _BOX_HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{_BOX_HEIGHT}" '
        f'rx="8" {style}/><text x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="middle" '
        f'fill="#112">{escape(name)}</text>'
    )


def _edge_point(spot: tuple[float, float], towards: tuple[float, float], width: float) -> tuple[float, float]:
    """Where the line between two boxes' centres leaves the first box."""
    dx, dy = towards[0] - spot[0], towards[1] - spot[1]
    scale = min(
        (width / 2 + 3) / abs(dx) if abs(dx) > 1e-9 else np.inf,
        (_BOX_HEIGHT / 2 + 3) / abs(dy) if abs(dy) > 1e-9 else np.inf,
    )
    return spot[0] + dx * scale, spot[1] + dy * scale


Spots = Mapping[str, tuple[float, float]]
_BENDS = (0.0, 36.0, -36.0, 72.0, -72.0, 120.0, -120.0, 180.0, -180.0)


def _control(edge: DrawnEdge, spots: Spots, bends: Sequence[float]) -> tuple[float, float]:
    """Control point of the least bent curve that runs through the fewest other boxes."""
    start, end = spots[edge.source], spots[edge.target]
    length = max(1.0, float(np.hypot(end[0] - start[0], end[1] - start[1])))
    normal = np.array([-(end[1] - start[1]), end[0] - start[0]]) / length
    middle = (np.array(start) + np.array(end)) / 2
    steps = np.linspace(0.05, 0.95, 25)[:, None]
    best, choice = np.inf, middle
    for bend in bends:
        # The curve reaches half as far out as its control point.
        control = middle + 2 * bend * normal
        points = (
            (1 - steps) ** 2 * np.array(start) + 2 * steps * (1 - steps) * control + steps**2 * np.array(end)
        )
        hits = 0
        for name, (x, y) in spots.items():
            if name not in (edge.source, edge.target):
                near = (np.abs(points[:, 0] - x) < _width(name) / 2 + 8) & (
                    np.abs(points[:, 1] - y) < _BOX_HEIGHT / 2 + 8
                )
                hits += int(near.sum())
        cost = hits + abs(bend) / 60
        if cost < best - 1e-9:
            best, choice = cost, control
    return float(choice[0]), float(choice[1])


@dataclass(frozen=True, slots=True)
class _Curve:
    """A drawn edge: its SVG path, points along it from start to end, shape (k, 2), and its label's text."""

    path: str
    points: NDArray[np.float64]
    label: str
    rising: bool


def _side(line: _Curve, pick: Callable[[Sequence[float]], float]) -> float:
    """How far a curve goes to the left (`min`) or right (`max`), with a little room."""
    reach = pick(line.points[:, 0].tolist())
    return reach - 12 if pick is min else reach + 12


def _line(edge: DrawnEdge, spots: Spots, *, beside: bool) -> _Curve:
    """The path of an edge; one that runs beside another between the same boxes is never straight."""
    start, end = spots[edge.source], spots[edge.target]
    control = _control(edge, spots, [60.0, -60.0, 120.0, -120.0] if beside else _BENDS)
    a = _edge_point(start, control, _width(edge.source))
    b = _edge_point(end, control, _width(edge.target))
    path = f"M{a[0]:.1f} {a[1]:.1f}Q{control[0]:.1f} {control[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
    steps = np.linspace(0.0, 1.0, 41)[:, None]
    points = (1 - steps) ** 2 * np.array(a) + 2 * steps * (1 - steps) * np.array(control)
    points = points + steps**2 * np.array(b)
    shade = round(190 - 150 * edge.probability)
    stroke = f"rgb({shade},{shade},{min(255, shade + 25)})"
    style = f'fill="none" stroke="{stroke}" stroke-width="{0.8 + 1.8 * edge.probability:.2f}"'
    rising = start[0] <= end[0]
    if edge.kind == "latent":
        drawn = f'<path d="{path}" {style} stroke-dasharray="2 4" marker-end="url(#tip)"/>'
        return _Curve(drawn, points, "", rising)
    ends = {"->": ' marker-end="url(#tip)"', "--": ""}.get(
        edge.kind, ' stroke-dasharray="7 4" marker-start="url(#tip)" marker-end="url(#tip)"'
    )
    return _Curve(f'<path d="{path}" {style}{ends}/>', points, _label(edge), rising)


_Tag = tuple[str, float, float, float]
"""Text, centre x, centre y and width of a label."""


def _labels(lines: Sequence[_Curve], spots: Spots) -> list[_Tag]:
    """Where each label stands on its curve: where it covers least of boxes and of labels placed before."""
    taken = [(x, y, _width(name) / 2, _BOX_HEIGHT / 2) for name, (x, y) in spots.items()]
    placed: list[_Tag] = []
    for line in lines:
        if not line.label:
            continue
        half = (len(line.label) * 6.2 + 6) / 2
        # Arrows that leave one box get labels at different heights, so that neighbours stay legible.
        wished = 14 if line.rising else 24
        best, choice = np.inf, line.points[wished]
        for index in range(6, 36):
            x, y = line.points[index]
            covered = sum(
                max(0.0, half + w - abs(x - cx)) * max(0.0, 8.0 + h - abs(y - cy)) for cx, cy, w, h in taken
            )
            cost = covered + 0.5 * abs(index - wished)
            if cost < best:
                best, choice = cost, line.points[index]
        taken.append((float(choice[0]), float(choice[1]), half, 8.0))
        placed.append((line.label, float(choice[0]), float(choice[1]), 2 * half))
    return placed


def _tag(label: str, x: float, y: float, wide: float) -> str:
    return (
        f'<rect x="{x - wide / 2:.1f}" y="{y - 8:.1f}" width="{wide:.1f}" height="15" '
        f'fill="#fff" fill-opacity="0.85"/><text x="{x:.1f}" y="{y + 3.5:.1f}" '
        f'text-anchor="middle" font-size="11" fill="#445">{escape(label)}</text>'
    )
