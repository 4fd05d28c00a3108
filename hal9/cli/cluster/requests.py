"""`hal9 requests`."""

import time
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, json_option, print_json, view

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["request_line", "requests"]


@click.command()
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def requests(ctx: click.Context, limit: int, as_json: bool) -> None:
    """Show what was asked of the cluster (feedback, approvals, …) and what came of it.

    A request made while the cluster was down is answered when it comes up; answers are kept for a day.
    """
    found = view(ctx, "requests", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nothing was asked of this cluster lately")
    for one in found:
        console().print(request_line(one))


def request_line(one: dict[str, Any]) -> "Text":
    """A request and its answer in one line."""
    from rich.text import Text

    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["asked_at"]))
    about = f" {one['task_id'][-12:]}" if one["task_id"] else ""
    if one["error"]:
        mark, said = ("✘ ", "red"), one["error"]
    elif one["answered_at"] is None:
        mark, said = ("… ", "dim"), "waits for the cluster"
    else:
        mark, said = ("✔ ", "green"), "; ".join(one["said"]) or "done"
    return Text.assemble(mark, (when, "dim"), f" {one['kind']}{about}: {said}")
