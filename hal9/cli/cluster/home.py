"""`hal9 init` and `hal9 config`."""

import shlex
from pathlib import Path
from typing import Any

import click

from hal9.cli.common import home_of, json_option, print_json, run

__all__ = ["config", "init"]


@click.command()
@click.argument("directory", default=".", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Write a fresh home into DIRECTORY (default: here): config/, neurons/, memory/ with commented YAML."""
    from hal9.cluster.home import init_home

    home = init_home(directory)
    click.echo(f"{home.root} is a HAL9 home now.")
    named = shlex.quote(str(home.root))
    click.echo(f"Next: edit {home.settings_file}, then `hal9 --home {named} up --detach`.")


@click.group()
def config() -> None:
    """Check or show the settings."""


@config.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> int:
    """Find every mistake in the settings and the neurons' files, and whether models and broker fit them."""
    from hal9.cluster.supervision.readiness import readiness
    from hal9.errors.config import ConfigInvalid

    home = home_of(ctx)

    async def look() -> list[Any]:
        return [finding async for finding in readiness(home)]

    findings = run(look())
    problems: list[str] = []
    code = 0
    for finding in findings:
        if finding.state != "problem":
            continue
        error = finding.error
        problems += (
            [str(one) for one in error.problems] if isinstance(error, ConfigInvalid) else [finding.text]
        )
        code = code or (error.exit_code if error is not None else 3)
    neurons = len([path for path in home.neurons.glob("*.md") if path.stem != "README"])
    if as_json:
        looked = [{"what": f.what, "state": f.state, "text": f.text} for f in findings]
        print_json({"ok": not problems, "problems": problems, "neurons": neurons, "findings": looked})
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{home.settings_file} and {neurons} neurons are in order.")
        for finding in findings:
            if finding.state in ("note", "unseen"):
                click.echo(f"{finding.what}: {finding.text}")
    return code


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
