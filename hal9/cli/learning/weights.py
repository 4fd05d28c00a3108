"""`hal9 weights`: whom neurons hand work to, and why."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, home_of, json_option, print_json
from hal9.cli.learning.memory import open_store

if TYPE_CHECKING:
    from hal9.learning.routing.weights import Edge, WeightStore

__all__ = ["weights"]


@click.command()
@click.option(
    "--explain", nargs=2, metavar="FROM TO", help="Show one edge: its odds now, and the tasks behind them."
)
@click.option("--from", "source", help="Only edges that leave this neuron.")
@json_option
@click.pass_context
def weights(ctx: click.Context, explain: tuple[str, str] | None, source: str | None, as_json: bool) -> int:
    """Show the connection weights: successes and failures per edge and class of tasks.

    "counts" are successes and failures that still count after forgetting; the odds are those of the next
    choice among the neurons shown. One that was never used has no row yet, and is tried like any other.
    """
    from hal9.learning.routing.weights import WeightStore

    settings = home_of(ctx).settings().routing
    with open_store(ctx) as store:
        book = WeightStore(store, lambda: settings)
        if explain is not None:
            return _explain(book, *explain, as_json=as_json)
        edges = book.edges(source)
        odds = _odds(book, edges)
    if as_json:
        print_json([asdict(edge) | {"odds": odds[_key(edge)]} for edge in edges])
    elif not edges:
        click.echo("no connection was used yet; weights are learned from finished tasks.")
    else:
        _table(edges, odds, settings.policy)
    return 0


def _key(edge: "Edge") -> tuple[str, str, str]:
    return edge.source, edge.target, edge.task_class


def _odds(book: "WeightStore", edges: "list[Edge]") -> dict[tuple[str, str, str], float]:
    groups: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        groups.setdefault((edge.source, edge.task_class), []).append(edge.target)
    return {
        (source, target, task_class): share
        for (source, task_class), targets in groups.items()
        for target, share in book.odds(source, sorted(targets), task_class=task_class).items()
    }


def _table(edges: "list[Edge]", odds: dict[tuple[str, str, str], float], policy: str) -> None:
    from rich.table import Table

    shown = Table(title=f"connection weights ({policy})", header_style="bold")
    for name in ("from", "to", "class"):
        shown.add_column(name, overflow="fold")
    for name in ("weight", "ok", "failed", "counts", "odds"):
        shown.add_column(name, justify="right", no_wrap=True)
    for edge in edges:
        shown.add_row(
            edge.source,
            edge.target,
            edge.task_class,
            f"{edge.weight:.2f}",
            str(edge.success_count),
            str(edge.failure_count),
            f"{edge.discounted_success:.1f}/{edge.discounted_failure:.1f}",
            f"{odds[_key(edge)]:.1%}",
        )
    console().print(shown)


def _explain(book: "WeightStore", source: str, target: str, *, as_json: bool) -> int:
    siblings = book.edges(source)
    edges = [edge for edge in siblings if edge.target == target]
    if not edges:
        known = ", ".join(sorted({f"{edge.source} → {edge.target}" for edge in book.edges()})) or "none"
        click.echo(f"hal9: no task went from {source!r} to {target!r} yet. Known: {known}", err=True)
        return 1
    odds = _odds(book, siblings)
    events = book.events(source, target)
    if as_json:
        print_json({"edges": [asdict(edge) | {"odds": odds[_key(edge)]} for edge in edges], "events": events})
        return 0
    for edge in edges:
        rivals = sum(other.task_class == edge.task_class for other in siblings)
        click.echo(
            f"{source} → {target}, {edge.task_class} tasks: weight {edge.weight:.2f}; "
            f"{edge.success_count} succeeded, {edge.failure_count} failed; "
            f"{edge.discounted_success:.1f} and {edge.discounted_failure:.1f} still weigh; "
            f"odds {odds[_key(edge)]:.1%} among {rivals}"
        )
    for event in events:
        click.echo("  " + _line(event))
    return 0


def _line(event: Any) -> str:
    from datetime import datetime

    when = datetime.fromtimestamp(event["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if event["kind"] == "promotion":
        return f"{when}  a prompt changed: {event['success']:.0%} of the counts kept"
    drawn = "" if event["odds"] is None else f", drawn with odds {event['odds']:.1%} ({event['policy']})"
    word = "succeeded" if event["success"] else "failed"
    return f"{when}  task {event['task_id']} ({event['task_class']}) {word}, ${event['usd']:.4f}{drawn}"
