"""A fitted graph in words: for the terminal, as Markdown, as JSON."""

from collections.abc import Sequence
from typing import Any

from hal9.errors.holograph import NotFitted
from hal9.holograph.data.edge_probabilities import DECIDED
from hal9.holograph.fit.columns import Prepared
from hal9.holograph.fit.estimator import CausalGraph, FittedEdge

__all__ = ["as_json", "as_markdown", "as_text", "column_lines"]

_LEGEND = (
    "→ causes; — joined, which way is undecided; ↔ share a hidden cause. A probability is how often edges of "
    "which so much is said are right in simulated tables of this kind of model."
)
_SIGNS = {"->": "→", "--": "—", "<->": "↔"}


def column_lines(prepared: Prepared) -> list[str]:
    """What each column is taken for, and which are set aside and why."""
    lines = []
    for column in prepared.columns:
        shown = ""
        if column.levels:
            listed = ", ".join(column.levels[:6]) + (" …" if len(column.levels) > 6 else "")
            shown = f" ({listed})"
        absent = f", {column.missing} missing" if column.missing else ""
        lines.append(f"{column.name}: {column.kind}{shown}{absent}")
    lines += [
        f"{name}: set aside, {why}" for name, why in prepared.left_out.items() if why != "not asked for"
    ]
    return lines


def _rows_used(prepared: Prepared) -> str:
    used = f"{prepared.table.rows} rows"
    if prepared.dropped:
        used += f" ({prepared.dropped} with missing values dropped)"
    if prepared.imputed:
        used += f" ({prepared.imputed} missing values filled in)"
    return used


def _notes(model: CausalGraph) -> list[str]:
    notes = [f"model: {model.diagnosis_.family}", *model.prepared_.notes, *model.notes_]
    undecided = sum(edge.kind == "--" for edge in model.edges_)
    if undecided:
        notes.append(
            f"{undecided} of {len(model.edges_)} edges are drawn without an arrow: the table leaves open "
            f"which way they point (less than {DECIDED:.0%} for either)"
        )
    curved = [f"{e.cause} {_SIGNS[e.kind]} {e.effect}" for e in model.edges_ if e.curved]
    if curved:
        notes.append(f"a straight line describes badly: {', '.join(curved)}; weights there are averages")
    notes.append("arrows are causes only if nothing that causes several columns is missing from the table")
    return notes


def _weight(edge: FittedEdge) -> str:
    if edge.weight is None or edge.standardised is None:
        return ""
    return f"{edge.weight:+.3g} per unit ({edge.standardised:+.2f} standardised)"


def _edge_rows(edges: Sequence[FittedEdge]) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"{edge.cause} {_SIGNS[edge.kind]} {edge.effect}",
            "required" if edge.fixed else f"p={edge.probability:.2f}",
            _weight(edge),
            "" if edge.stability is None else f"in {edge.stability:.0%} of resamples",
        )
        for edge in edges
    ]


def as_text(model: CausalGraph, name: str) -> str:
    """Edges, surest first, and what to know about them.

    Raises:
        NotFitted: nothing was fitted yet.
    """
    if not hasattr(model, "edges_"):
        raise NotFitted
    rows = _edge_rows(model.edges_)
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(4)]
    edges = "1 edge" if len(rows) == 1 else f"{len(rows)} edges"
    lines = [f"{name}: {edges} among {model.n_features_in_} columns, {_rows_used(model.prepared_)}"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        lines.append(("  " + "  ".join(cells)).rstrip())
    touched = {name for edge in model.edges_ for name in (edge.cause, edge.effect)}
    alone = [str(column) for column in model.feature_names_in_ if column not in touched]
    if alone:
        lines.append(f"  not joined to anything: {', '.join(alone)}")
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(model))])


def as_markdown(model: CausalGraph, name: str, picture: str = "") -> str:
    """A report.

    Args:
        model: fitted.
        name: of the table.
        picture: path of the SVG as the report refers to it, "" for none.
    """
    lines = [f"# Causes in {name}", "", f"{_rows_used(model.prepared_)}, {model.n_features_in_} columns.", ""]
    lines += [f"![graph]({picture})", ""] if picture else []
    lines += ["| edge | probability | weight | stability |", "|---|---|---|---|"]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _edge_rows(model.edges_)
    ]
    lines += ["", "## To know", "", *(f"- {note}" for note in _notes(model))]
    lines += [
        "",
        _LEGEND,
        "",
        "## Columns",
        "",
        *(f"- {line}" for line in column_lines(model.prepared_)),
    ]
    return "\n".join(lines) + "\n"


def as_json(model: CausalGraph) -> dict[str, Any]:
    """Everything as plain data."""
    edges = []
    for edge in model.edges_:
        ends: dict[str, Any] = (
            {"cause": edge.cause, "effect": edge.effect}
            if edge.kind == "->"
            else {"between": [edge.cause, edge.effect]}
        )
        edges.append(
            {
                **ends,
                "kind": {"->": "cause", "--": "undecided", "<->": "hidden cause"}[edge.kind],
                "probability": round(edge.probability, 4),
                "weight": edge.weight,
                "standardised_weight": edge.standardised,
                "stability": edge.stability,
                "curved": edge.curved,
                "required": edge.fixed,
            }
        )
    prepared = model.prepared_
    return {
        "columns": [
            {"name": c.name, "kind": c.kind, "levels": list(c.levels), "missing": c.missing}
            for c in prepared.columns
        ],
        "left_out": prepared.left_out,
        "rows": prepared.table.rows,
        "dropped": prepared.dropped,
        "imputed": prepared.imputed,
        "model": model.diagnosis_.family,
        "edges": edges,
        "notes": _notes(model),
    }
