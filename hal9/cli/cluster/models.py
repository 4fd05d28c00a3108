"""`hal9 model list | pull | path`."""

import click

from hal9.cli.common import console, home_of, json_option, print_json

__all__ = ["model"]


@click.group()
def model() -> None:
    """List, pull and find local models."""


@model.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the catalogue and what is installed."""
    from hal9.minds.local.models import default_model, models

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
    from hal9.minds.local.models import default_model, installed

    found = installed(name or default_model())
    if as_json:
        print_json({"name": name or default_model(), "path": str(found)})
    else:
        click.echo(str(found))


@model.command()
@click.argument("name", required=False)
@click.option("--if-needed", is_flag=True, help="Only when the cluster's mind is that local model.")
@click.pass_context
def pull(ctx: click.Context, name: str | None, if_needed: bool) -> None:
    """Download a model (default: the one the cluster uses); resumes, and checks size and SHA-256."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from hal9.minds.local.models import default_model
    from hal9.minds.local.pull import Progress as PullProgress
    from hal9.minds.local.pull import pull as pull_model

    chosen = name or _configured(ctx) or default_model()
    if if_needed and name is None and _configured(ctx) is None:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        bar = progress.add_task(chosen, total=None)

        def on_progress(at: PullProgress) -> None:
            progress.update(bar, completed=at.done, total=at.total, description=f"{at.stage} {chosen}")

        def on_notice(text: str) -> None:
            progress.console.print(text, markup=False)

        found = pull_model(chosen, on_progress=on_progress, on_notice=on_notice)
    click.echo(str(found))


def _configured(ctx: click.Context) -> str | None:
    """The catalogue model this home's neurons use, or None when they use something else."""
    from hal9.cluster.services.thinking import resolve_spec
    from hal9.errors.cluster import HomeMissing
    from hal9.minds.local.models import default_model
    from hal9.settings import MindSettings

    try:
        minds = home_of(ctx).settings().minds
    except HomeMissing:
        minds = MindSettings()
    kind, _, rest = resolve_spec("default", minds).partition(":")
    if kind != "local" or rest.endswith(".gguf"):
        return None
    return rest or default_model()
