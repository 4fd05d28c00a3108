"""`hal9 learning report`: the figures of learning and their curves, as a Markdown page with charts."""

from pathlib import Path

import click

from hal9.cli.common import home_of, json_option, print_json
from hal9.cli.learning.memory import open_store

__all__ = ["report"]


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--svg-only", is_flag=True, help="No PNG.")
@json_option
@click.pass_context
def report(ctx: click.Context, folder: Path | None, svg_only: bool, as_json: bool) -> None:
    """Write report.md and charts into FOLDER (default: learning-report)."""
    from hal9.database import is_there, look_into
    from hal9.learning.reporting.report import write_report

    target = folder or Path("learning-report")
    home = home_of(ctx)
    with open_store(ctx) as store:
        if is_there(home.journal):
            with look_into(home.journal) as journal:
                done = write_report(store, target, journal=journal, pictures=not svg_only)
        else:
            done = write_report(store, target, pictures=not svg_only)
    if done.notice:
        click.echo(done.notice, err=True)
    if as_json:
        print_json({"files": [str(path) for path in done.files], "metrics": done.metrics.as_json()})
        return
    for path in done.files:
        click.echo(str(path))
