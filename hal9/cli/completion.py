"""`hal9 completion`."""

import click

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print shell completion; for bash: eval "$(hal9 completion bash)"."""
    from click.shell_completion import get_completion_class

    from hal9.cli.app import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(found(cli, {}, "hal9", "_HAL9_COMPLETE").source())
