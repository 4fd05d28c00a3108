"""A finished run's result as the graph that is drawn of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from hal9.holograph.drawing import Drawn, DrawnEdge
from hal9.holograph.runs.store import RunRow

__all__ = ["drawn_run", "edge_rows"]


def drawn_run(row: RunRow, result: Mapping[str, Any]) -> Drawn:
    """The graph with its probabilities; weights stand beside them only where a table gave them."""
    measured = row.inputs.get("data") is not None
    edges = [
        DrawnEdge(
            one["cause"],
            one["effect"],
            one["probability"],
            "->" if one.get("decided", True) else "--",
            label=_label(one, measured=measured),
        )
        for one in result["directed"]
    ]
    edges += [
        DrawnEdge(first, second, probability, kind="<->")
        for (first, second), probability in _confounded(result)
    ]
    return Drawn(result["variables"], edges, result["latents"], title=row.name)


def edge_rows(row: RunRow, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same edges for a table, the most probable first."""
    measured = row.inputs.get("data") is not None
    rows = [
        {
            "source": one["cause"],
            "sign": "→" if one.get("decided", True) else "—",
            "target": one["effect"],
            "probability": one["probability"],
            "weight": one["weight"] if measured else None,
            "guessed": bool(one.get("guessed")),
        }
        for one in result["directed"]
    ]
    rows += [
        {"source": first, "sign": "↔", "target": second, "probability": probability, "weight": None,
         "guessed": False}
        for (first, second), probability in _confounded(result)
    ]  # fmt: skip
    return sorted(rows, key=lambda one: -one["probability"])


def _label(edge: Mapping[str, Any], *, measured: bool) -> str:
    if edge.get("guessed"):
        return "guess"
    return f"{edge['weight']:+.2f}" if measured else ""


def _confounded(result: Mapping[str, Any]) -> list[tuple[Sequence[str], float]]:
    """Pairs with a hidden common cause that no drawn latent accounts for."""
    covered = [set(children) for children in result["latents"].values()]
    return [
        (one["between"], one["probability"])
        for one in result["bidirected"]
        if set(one["between"]) not in covered
    ]
