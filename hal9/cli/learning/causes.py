"""`hal9 causes`: which factors cause failures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hal9.cli.common import OutputFile, console, home_of, json_option, print_json, run

if TYPE_CHECKING:
    from hal9.holograph import Causes

__all__ = ["causes"]


@click.command()
@click.option("--since", default="7d", show_default=True, help="How far back: 90s, 30m, 12h, 7d, 2w.")
@click.option("--svg", type=OutputFile(), help="Draw the graph into this file.")
@click.option("--mind", "spec", help="Also ask this mind where the data leaves it open (local, …).")
@click.option("--budget-queries", default=30, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def causes(
    ctx: click.Context, since: str, svg: Path | None, spec: str | None, budget_queries: int, as_json: bool
) -> None:
    """Ask which factors (neuron, prompt version, task class, …) cause failed tasks, and how surely."""
    from hal9.cluster.history import parse_age

    try:
        age = parse_age(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    found = run(_find(ctx, age, spec, budget_queries))
    if svg is not None:
        svg.write_text(found.svg(), encoding="utf-8")
    if as_json:
        print_json(
            {
                "rows": found.rows,
                "edges": [
                    {
                        "cause": edge.cause,
                        "effect": edge.effect,
                        "probability": edge.probability,
                        "effect_size": edge.effect_size,
                    }
                    for edge in found.edges
                ],
                "left_out": dict(found.left_out),
            }
        )
        return
    _print(found, svg)


async def _find(ctx: click.Context, age: float, spec: str | None, budget_queries: int) -> "Causes":
    from contextlib import AsyncExitStack

    from hal9.cluster.client import Cluster
    from hal9.cluster.history import FACTORS, failure_rows, kinds_of_failure
    from hal9.holograph import causes as find_causes
    from hal9.minds import open_mind

    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(home_of(ctx)))
        rows = await failure_rows(cluster, since=time.time() - age, kinds=True)
        kinds = kinds_of_failure(rows)
        mind = await stack.enter_async_context(open_mind(spec)) if spec else None
        return await find_causes(
            rows,
            outcomes=("failed", *kinds),
            descriptions={**FACTORS, **kinds},
            mind=mind,
            answers=home_of(ctx).state / "holograph.db",
            budget_queries=budget_queries,
        )


def _print(found: "Causes", svg: Path | None) -> None:
    from rich.table import Table

    out = console()
    table = Table(title=f"what makes tasks fail ({found.rows} tasks)", box=None, header_style="dim")
    for column in ("factor", "effect", "how sure"):
        table.add_column(column)
    for outcome in found.outcomes:
        what = "failures" if outcome == "failed" else outcome.replace("_", " ")
        for edge in found.of(outcome):
            sign = "more" if edge.effect_size > 0 else "fewer"
            table.add_row(edge.cause, f"{sign} {what} ({edge.effect_size:+.2f})", f"{edge.probability:.0%}")
    if table.row_count:
        out.print(table)
    else:
        out.print(f"no factor was found to cause failures in {found.rows} tasks.")
    others = [edge for edge in found.edges if edge.effect not in found.outcomes]
    for edge in others[:10]:
        out.print(f"  [dim]{edge.cause} → {edge.effect} ({edge.effect_size:+.2f}, {edge.probability:.0%})[/]")
    for name, why in found.left_out.items():
        out.print(f"  [dim]left out: {name}: {why}[/]")
    if svg is not None:
        out.print(f"drawn into {svg}")
