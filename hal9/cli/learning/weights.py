"""`hal9 weights`: whom neurons hand work to, and why."""

from typing import Any

import click

from hal9.cli.common import console, json_option, print_json, view

__all__ = ["weights"]

_NARROW_COLUMNS = 90


@click.command()
@click.option(
    "--explain",
    nargs=2,
    metavar="FROM TO",
    help="Show one edge: its probability now, and the tasks behind them.",
)
@click.option("--from", "source", help="Only edges that leave this neuron.")
@json_option
@click.pass_context
def weights(ctx: click.Context, explain: tuple[str, str] | None, source: str | None, as_json: bool) -> int:
    """Show the connection weights: successes and failures per edge and class of tasks.

    "counts" are successes and failures that still count after forgetting; the probabilities are those of the
    next choice among the neurons shown. One that was never used has no weight yet; it is tried as any other.
    """
    if explain is not None:
        return _explain(view(ctx, "edge", source=explain[0], target=explain[1]), *explain, as_json=as_json)
    edges = view(ctx, "weights", source=source)
    if as_json:
        print_json(edges)
    elif not edges:
        click.echo("no connection was used yet; weights are learned from finished tasks.")
    else:
        _table(edges)
    return 0


def _table(edges: list[dict[str, Any]]) -> None:
    from rich.box import HEAVY_HEAD
    from rich.table import Table

    out = console()
    narrow = out.width < _NARROW_COLUMNS
    shown = Table(title="connection weights", header_style="bold", box=None if narrow else HEAVY_HEAD)
    for name in ("from → to",) if narrow else ("from", "to", "class"):
        shown.add_column(name, overflow="fold")
    for name in ("weight", "ok", "failed") if narrow else ("weight", "ok", "failed", "counts"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("%" if narrow else "probability", justify="right", no_wrap=True)
    for edge in edges:
        figures = [
            "" if edge["weight"] is None else f"{edge['weight']:.2f}",
            str(edge["success_count"]),
            str(edge["failure_count"]),
        ]
        if narrow:
            named = [f"{edge['source']} → {edge['target']}, {edge['task_class']}"]
            shown.add_row(*named, *figures, f"{edge['odds']:.0%}")
        else:
            named = [edge["source"], edge["target"], edge["task_class"]]
            counts = f"{edge['discounted_success']:.1f}/{edge['discounted_failure']:.1f}"
            shown.add_row(*named, *figures, counts, f"{edge['odds']:.1%}")
    out.print(shown)


def _explain(found: dict[str, Any], source: str, target: str, *, as_json: bool) -> int:
    if not found["edges"]:
        known = ", ".join(found["known"]) or "none"
        click.echo(f"hal9: no task went from {source!r} to {target!r} yet. Known: {known}", err=True)
        return 1
    if as_json:
        print_json({"edges": found["edges"], "events": found["events"]})
        return 0
    for edge in found["edges"]:
        rivals = sum(other["task_class"] == edge["task_class"] for other in found["siblings"])
        click.echo(
            f"{source} → {target}, {edge['task_class']} tasks: {_weight(edge)}; "
            f"{edge['success_count']} succeeded, {edge['failure_count']} failed; "
            f"{edge['discounted_success']:.1f} and {edge['discounted_failure']:.1f} still weigh; "
            f"probability {edge['odds']:.1%} among {rivals}"
        )
    for event in found["events"]:
        click.echo("  " + _line(event))
    return 0


def _weight(edge: dict[str, Any]) -> str:
    return "never used" if edge["weight"] is None else f"weight {edge['weight']:.2f}"


def _line(event: Any) -> str:
    from datetime import datetime

    when = datetime.fromtimestamp(event["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if event["kind"] == "promotion":
        return f"{when}  a prompt changed: {event['success']:.0%} of the counts kept"
    drawn = (
        "" if event["odds"] is None else f", drawn with probability {event['odds']:.1%} ({event['policy']})"
    )
    word = "succeeded" if event["success"] else "failed"
    return f"{when}  task {event['task_id']} ({event['task_class']}) {word}, ${event['usd']:.4f}{drawn}"
