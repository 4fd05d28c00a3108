"""`hal9 eval SUITE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hal9.cli.app import TASK_FAILED
from hal9.cli.common import console, home_of, json_option, print_json, run
from hal9.text import split_lines

if TYPE_CHECKING:
    from hal9.evaluation import Attempt, Cell, Comparison

__all__ = ["evaluation"]


@click.command("eval")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option(
    "--least", type=click.FloatRange(0, 1), default=None, help="Share that every combination must pass."
)
@json_option
@click.pass_context
def evaluation(
    ctx: click.Context, suite: Path, junit_file: Path | None, least: float | None, as_json: bool
) -> int:
    """Run your own tasks over models and neurons, with and without what was learned.

    SUITE is YAML: tasks with `check` or `expected`, and which models, neurons and learning to run them on
    (docs/evaluation.md). Nothing is learned from it. Ends with 8 when a combination is worse than in the last
    run beyond chance, or passes less than --least.
    """
    import time

    from hal9.evaluation import compare_runs, evaluate, junit, last_run, load_suite, save_run
    from hal9.evaluation.report import cell_as_json

    home = home_of(ctx)
    wanted = load_suite(suite)
    before = last_run(home, suite)
    if junit_file is not None:
        junit_file.parent.mkdir(parents=True, exist_ok=True)
        junit_file.touch()  # a place that cannot be written is known before anything is spent

    def told(cell: "Cell", attempt: "Attempt") -> None:
        if not as_json:
            mark = "✔" if attempt.passed else "✘"
            why = "" if attempt.passed else f"  {(split_lines(attempt.why) or [''])[0][:120]}"
            click.echo(f"{mark} {cell.name}: {attempt.task} {attempt.seconds:.1f} s{why}", err=True)

    cells = run(evaluate(wanted, home, told=told))
    compared = compare_runs(cells, before)
    save_run(home, suite, cells, now=time.time())
    if junit_file is not None:
        junit_file.write_text(junit(cells), encoding="utf-8")
    if as_json:
        print_json(
            {
                "cells": [cell_as_json(one) for one in cells],
                "compared": [
                    {"cell": one.cell, "won": one.won, "lost": one.lost, "p": one.p, "worse": one.worse}
                    for one in compared
                ],
            }
        )
    else:
        _show(cells, compared)
    poor = least is not None and any(one.passed < least * len(one.attempts) for one in cells)
    return TASK_FAILED if poor or any(one.worse for one in compared) else 0


def _show(cells: "list[Cell]", compared: "list[Comparison]") -> None:
    from rich.table import Table

    from hal9.evaluation.report import cell_as_json

    table = Table(box=None, pad_edge=False)
    for title in ("model", "neuron", "learning", "passed", "95% interval", "seconds", "tokens", "$"):
        table.add_column(title, justify="left" if title in ("model", "neuron", "learning") else "right")
    for cell in cells:
        one = cell_as_json(cell)
        table.add_row(
            *(one["model"], one["neuron"] or "all", one["learning"], f"{one['passed']}/{one['of']}"),
            *(f"{one['low']:.0%} to {one['high']:.0%}", f"{one['seconds']:.1f}"),
            *(f"{one['tokens']:,}", f"{one['usd']:.4f}"),
        )
    console().print(table)
    for found in compared:
        if not (found.won or found.lost):
            click.echo(f"{found.cell}: as in the last run")
            continue
        changes = [f"{len(found.won)} better", f"{len(found.lost)} worse"]
        names = f": {', '.join(found.lost[:5])}" if found.lost else ""
        sure = "beyond chance" if found.worse else "within chance"
        click.echo(
            f"{found.cell}: {', '.join(changes)} than in the last run (p={found.p:.2f}, {sure}){names}"
        )
