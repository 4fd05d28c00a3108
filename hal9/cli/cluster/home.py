"""`hal9 init` and `hal9 config`."""

from pathlib import Path

import click

from hal9.cli.common import home_of, json_option, print_json

__all__ = ["config", "init"]


@click.command()
@click.argument("directory", default=".", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Write a fresh home into DIRECTORY (default: here): config/, neurons/, memory/ with commented YAML."""
    from hal9.cluster.home import init_home

    home = init_home(directory)
    click.echo(f"{home.root} is a HAL9 home now.")
    click.echo(f"Next: edit {home.settings_file}, then `hal9 --home {home.root} up --detach`.")


@click.group()
def config() -> None:
    """Check or show the settings."""


@config.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> int:
    """Find every mistake in the settings and the neurons' files."""
    from hal9.errors.base import Hal9Error
    from hal9.errors.config import ConfigInvalid
    from hal9.neurons.definition import load_neuron

    home = home_of(ctx)
    problems: list[str] = []
    try:
        settings = home.settings()
        names = len(settings.neurons.enabled)
    except ConfigInvalid as error:
        problems += [str(problem) for problem in error.problems]
        names = 0
    files = sorted(path for path in home.neurons.glob("*.md") if path.stem != "README")
    for path in files:
        try:
            load_neuron(path)
        except Hal9Error as error:
            problems.append(str(error))
    if as_json:
        print_json({"ok": not problems, "problems": problems, "neurons": len(files), "enabled": names})
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{home.settings_file} and {len(files)} neurons are in order.")
    return 3 if problems else 0


@config.command()
@json_option
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Print the settings in force, defaults included."""
    from hal9.config import settings_as_yaml

    settings = home_of(ctx).settings()
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        click.echo(settings_as_yaml(settings), nl=False)
