"""`hal9 model list | pull | path`."""

import click

from hal9.cli.common import console, json_option, print_json

__all__ = ["model"]


@click.group()
def model() -> None:
    """List, pull and find local models."""


@model.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the catalogue and what is installed."""
    from hal9.minds.models import default_model, models

    rows = [
        {
            "name": one.name,
            "bytes": one.bytes,
            "licence": one.licence,
            "installed": one.path.is_file() and one.path.stat().st_size == one.bytes,
            "default": one.name == default_model(),
            "path": str(one.path),
        }
        for one in models()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        mark = "[green]✔[/]" if row["installed"] else "[dim]·[/]"
        default = " [cyan](default)[/]" if row["default"] else ""
        size = int(str(row["bytes"])) / 1e6
        console().print(f"{mark} [bold]{row['name']}[/]{default}  {size:.0f} MB, {row['licence']}")


@model.command()
@click.argument("name", required=False)
@json_option
def path(name: str | None, as_json: bool) -> None:
    """Print where a model's file lies (default: the default model)."""
    from hal9.minds.models import default_model, installed

    found = installed(name or default_model())
    if as_json:
        print_json({"name": name or default_model(), "path": str(found)})
    else:
        click.echo(str(found))


@model.command()
@click.argument("name", required=False)
def pull(name: str | None) -> None:
    """Download a model (default: the default model); resumes, and checks size and SHA-256."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from hal9.minds.models import default_model
    from hal9.minds.pull import Progress as PullProgress
    from hal9.minds.pull import pull as pull_model

    chosen = name or default_model()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        bar = progress.add_task(chosen, total=None)

        def on_progress(at: PullProgress) -> None:
            progress.update(bar, completed=at.done, total=at.total, description=f"{at.stage} {chosen}")

        def on_notice(text: str) -> None:
            progress.console.print(text, markup=False)

        found = pull_model(chosen, on_progress=on_progress, on_notice=on_notice)
    click.echo(str(found))
