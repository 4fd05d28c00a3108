"""Pictures as SVG text: the network of neurons, a task's path, curves. Colours come from the style sheet.

Presentation attributes only, no `style`: the pages' content security policy forbids it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = ["Band", "Edge", "Node", "curve", "network", "path", "sized"]

_WIDTH = 720
_ROW = 104
_NODE_WIDTH, _NODE_HEIGHT = 150, 44


_SIZE = re.compile(r'<svg ([^>]*?)viewBox="([^"]*)"[^>]*>')


def sized(drawing: str, zoom: float = 1.0) -> Markup:
    """A drawing of another room, so many times its own size; its texts were escaped there."""

    def opening(found: re.Match[str]) -> str:
        wide, high = (zoom * float(part) for part in found[2].split()[2:])
        size = f'width="{wide:.0f}" height="{high:.0f}"'
        return f'<svg class="drawing" viewBox="{found[2]}" {size} font-family="sans-serif" font-size="13">'

    return Markup(_SIZE.sub(opening, drawing, count=1))  # noqa: S704 - see above


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A neuron; `activity` says what it is doing now, `idle` what is said where nothing is known of that."""

    name: str
    layer: int
    activity: str = ""
    idle: str = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A connection; `share` is its probability in the next choice, 0..1."""

    source: str
    target: str
    share: float


def network(nodes: Sequence[Node], edges: Sequence[Edge]) -> Markup:
    """Layers from above to below, each neuron a box, connections as wide as they are likely."""
    layers = sorted({node.layer for node in nodes}, reverse=True)
    widest = max((sum(node.layer == layer for node in nodes) for layer in layers), default=1)
    width = max(380, widest * (_NODE_WIDTH + 24))
    places: dict[str, tuple[float, float]] = {}
    for row, layer in enumerate(layers):
        inside = sorted((node for node in nodes if node.layer == layer), key=lambda node: node.name)
        gap = width / len(inside)
        for column, node in enumerate(inside):
            places[node.name] = (gap * (column + 0.5), row * _ROW + 12 + _NODE_HEIGHT / 2)
    height = max(1, len(layers)) * _ROW - _ROW + _NODE_HEIGHT + 24
    parts = [_opening("network", (width, height), f"{len(nodes)} neurons in {len(layers)} layers")]
    parts += [_edge(one, places) for one in edges if one.source in places and one.target in places]
    parts += [_node(node, *places[node.name]) for node in nodes]
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text was escaped where it was put in


def _opening(kind: str, size: tuple[float, float], label: str) -> str:
    shown = f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}"'
    return f'<svg class="{kind}" {shown} role="img" aria-label="{escape(label)}">'


def _edge(edge: Edge, places: dict[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    y1, y2 = y1 + _NODE_HEIGHT / 2, y2 - _NODE_HEIGHT / 2
    middle = (y1 + y2) / 2
    title = f"{edge.source} → {edge.target}: {edge.share:.0%}"
    label_y = y2 - 10
    return (
        f'<path class="edge" stroke-width="{1 + 5 * edge.share:.1f}" '
        f'd="M{x1:.0f} {y1:.0f} C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}">'
        f"<title>{escape(title)}</title></path>"
        f'<text class="share" x="{x2 + (8 if x2 >= x1 else -8):.0f}" y="{label_y:.0f}" '
        f'text-anchor="{"start" if x2 >= x1 else "end"}">{edge.share:.0%}</text>'
    )


def _node(node: Node, x: float, y: float) -> str:
    left, top = x - _NODE_WIDTH / 2, y - _NODE_HEIGHT / 2
    busy = " busy" if node.activity else ""
    what = node.activity or node.idle
    name = node.name if len(node.name) <= 20 else node.name[:19] + "…"
    return (
        f'<g class="node layer{node.layer}{busy}"><title>{escape(node.name)}: {escape(what)}</title>'
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{_NODE_WIDTH}" height="{_NODE_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x:.0f}" y="{y - 3:.0f}" text-anchor="middle">{escape(name)}</text>'
        f'<text class="what" x="{x:.0f}" y="{y + 13:.0f}" text-anchor="middle">{escape(what[:26])}</text></g>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One step on a task's path; times in seconds since the task began."""

    lane: str
    layer: int
    start: float
    end: float
    label: str
    failed: bool
    anchor: str


def path(bands: Sequence[Band]) -> Markup:
    """A task's steps along time, one lane per neuron, in the order they took part."""
    if not bands:
        return Markup()
    lanes = list(dict.fromkeys(band.lane for band in bands))
    first, last = min(band.start for band in bands), max(band.end for band in bands)
    span = max(last - first, 1e-3)
    left, right, row = 168, _WIDTH - 12, 34
    height = len(lanes) * row + 30
    scale = (right - left) / span
    # A group, not a picture: each step in it is a link.
    told = f"{len(bands)} steps of {len(lanes)} neurons in {span:.1f} seconds"
    parts = [_opening("path", (_WIDTH, height), told).replace('role="img"', 'role="group"')]
    for number, lane in enumerate(lanes):
        y = number * row + 17
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        short = lane if len(lane) <= 22 else lane[:21] + "…"
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(short)}</text>')
    before: tuple[float, float] | None = None
    for band in bands:
        x = left + (band.start - first) * scale
        width = max(5.0, (band.end - band.start) * scale)
        y = lanes.index(band.lane) * row + 8
        if before is not None:
            start = f"{before[0]:.1f} {before[1]:.1f}"
            parts.append(f'<path class="flow" d="M{start} L{x:.1f} {y + 9:.1f}"/>')
        kind = "failed" if band.failed else f"layer{band.layer}"
        parts.append(
            f'<a href="#{escape(band.anchor)}" aria-label="{escape(band.label)}">'
            f'<rect class="step {kind}" x="{x:.1f}" y="{y}" '
            f'width="{min(width, right - x + 5):.1f}" height="18" rx="4">'
            f"<title>{escape(band.label)}</title></rect></a>"
        )
        before = (x + width, y + 9)
    parts.append(_time_axis(left, right, height, span))
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text was escaped where it was put in


def _time_axis(left: int, right: int, height: int, span: float) -> str:
    ticks = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * (right - left)
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        ticks.append(
            f'<text class="tick" x="{x:.0f}" y="{height - 4}" text-anchor="{anchor}">'
            f"{span * share:.2g} s</text>"
        )
    return "".join(ticks)


def curve(
    points: Sequence[tuple[float, float, float, float]], *, label: str, low: float = 0.0, high: float = 1.0
) -> Markup:
    """A curve with its interval: points are (x, value, lower, upper) in order of x."""
    if len(points) < 2:
        return Markup()
    left, right, top, bottom = 40.0, _WIDTH - 10.0, 10.0, 170.0
    first, last = points[0][0], points[-1][0]
    span, reach = max(last - first, 1e-9), max(high - low, 1e-9)

    def place(x: float, y: float) -> str:
        return (
            f"{left + (x - first) / span * (right - left):.1f} "
            f"{bottom - (min(max(y, low), high) - low) / reach * (bottom - top):.1f}"
        )

    line = " L".join(place(x, y) for x, y, _, _ in points)
    upper = " L".join(place(x, y) for x, _, _, y in points)
    lower = " L".join(place(x, y) for x, _, y, _ in reversed(points))
    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.0f}" y2="{y:.0f}"/>'
        f'<text class="tick" x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">'
        f"{low + share * reach:.2g}</text>"
        for share, y in ((0.0, bottom), (0.5, (top + bottom) / 2), (1.0, top))
    )
    return Markup(  # noqa: S704 - numbers, and a label that is escaped
        f'<svg class="curve" viewBox="0 0 {_WIDTH} 182" role="img" aria-label="{escape(label)}">{grid}'
        f'<path class="band" d="M{upper} L{lower} Z"/><path class="line" d="M{line}"/></svg>'
    )
