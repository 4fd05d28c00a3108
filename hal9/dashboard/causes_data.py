"""Causal graphs of HOLOGRAPH's runs in a home, as the dashboard shows them."""

from typing import Any

from hal9.cluster.home import Home
from hal9.dashboard.pictures import sized
from hal9.errors.holograph import RunNotFound

__all__ = ["causal_graph", "causal_runs"]

_RUNS = 12


def causal_runs(home: Home) -> list[dict[str, Any]]:
    """The newest runs in the home's store, each in a line."""
    path = home.state / "holograph.db"
    if not path.is_file():
        return []
    from hal9.holograph.runs.store import RunStore  # noqa: PLC0415 - only homes with such runs need it

    with RunStore(path) as store:
        rows = [store.get(name) for name in store.names()[:_RUNS]]
    return [
        {
            "name": row.name,
            "created_at": row.created_at,
            "status": row.status,
            "mind": row.mind,
            "variables": len(row.inputs["problem"]["variables"]),
            "edges": len(row.result["directed"]) if row.result else None,
        }
        for row in rows
    ]


def causal_graph(home: Home, name: str, *, zoom: float) -> dict[str, Any]:
    """One run: its picture, and its edges with their probability.

    Args:
        home: whose store.
        name: the run's.
        zoom: how many times its own size the picture is to have.

    Raises:
        RunNotFound: there is no such run.
    """
    path = home.state / "holograph.db"
    if not path.is_file():
        raise RunNotFound(run=name, store=str(path), known=())
    from hal9.holograph.drawing import svg  # noqa: PLC0415 - numpy: only this page needs it
    from hal9.holograph.runs.shown import drawn_run, edge_rows  # noqa: PLC0415 - likewise
    from hal9.holograph.runs.store import RunStore  # noqa: PLC0415 - likewise

    with RunStore(path) as store:
        row, counters = store.get(name), store.counters(name)
    found = {"run": row, "counters": counters, "picture": "", "edges": [], "obstructions": []}
    if row.result is None:
        return found
    return found | {
        "picture": sized(svg(drawn_run(row, row.result)), zoom),
        "edges": edge_rows(row, row.result),
        "obstructions": row.result.get("obstructions", []),
    }
