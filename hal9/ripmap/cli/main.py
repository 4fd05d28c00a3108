"""The `ripmap` command: a map by default, and explain, index, cache, eval, cases, params, serve."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9 import __version__
from hal9.errors.base import Hal9Error
from hal9.ripmap.cli.common import (
    chosen_of,
    index_options,
    map_service_of,
    parameters_of,
    print_stats,
    task_options,
)

if TYPE_CHECKING:
    from hal9.ripmap.rendering.render import Format

__all__ = ["main", "ripmap"]

_COMMANDS = {
    "explain": "hal9.ripmap.cli.tools",
    "index": "hal9.ripmap.cli.tools",
    "serve": "hal9.ripmap.cli.tools",
    "cache": "hal9.ripmap.cli.tools",
    "eval": "hal9.ripmap.cli.evaluate",
    "cases": "hal9.ripmap.cli.evaluate",
    "params": "hal9.ripmap.cli.evaluate",
}


class _Default(click.Group):
    """A group whose first argument may also be the path to map."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return ["map", *_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from importlib import import_module  # noqa: PLC0415 - each command loads only what it needs

        if cmd_name in _COMMANDS:
            command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), f"{cmd_name}_command")
            return command
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"-h", "--help", "--version"}
        if not args or (args[0] not in own and args[0] != "map" and args[0] not in _COMMANDS):
            args = ["map", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Default, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ripmap")
def ripmap() -> None:
    """Which files and symbols of a repository does a task need?

    Without a command, `ripmap [PATH] --task TEXT` prints the map; see `ripmap map --help`.
    """


@ripmap.command("map")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.argument("words", nargs=-1, metavar="")
@task_options
@index_options
@click.option("--tokens", type=click.IntRange(min=1), help="Budget of the map; never exceeded. [8192]")
@click.option("--format", "form", type=click.Choice(["map", "paths", "json", "md"]), default="map")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--detail", type=click.Choice(["auto", "low", "medium", "high"]), default="auto")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many files.")
@click.option("--calls", is_flag=True, help="Show who calls what.")
@click.option("--why", is_flag=True, help="Show what speaks for each file.")
@click.option("--stats", is_flag=True, help="Tell on standard error what was read, and how long it took.")
@click.option(
    "--rerank",
    help="Look again at the best 20 with hashing, onnx-minilm, sentence-transformers, or a mind.",
)
@click.option(
    "--rerank-weight",
    type=click.FloatRange(min=0.0),
    help="What that counts beside the ranking's own scores; 10 leaves it the last word. [0.2]",
)
@click.option("--tokenizer", default="auto", help="auto, estimate, tiktoken:NAME, or a tokenizer.json.")
@click.option("--color/--no-color", default=None, help="Colours; by default only on a terminal.")
def map_command(path: Path, words: tuple[str, ...], color: bool | None, stats: bool, **options: Any) -> None:
    """Print the map of PATH for a task (without one: by importance)."""
    if words:
        raise _misunderstood(path, words)
    form: Format = "json" if options["as_json"] else options["form"]
    from hal9.ripmap.rendering.budget import MapOptions  # noqa: PLC0415 - brings numpy, which --help does without
    from hal9.ripmap.text.token_count import token_counter  # noqa: PLC0415

    chosen = chosen_of(options)
    maps = map_service_of()
    index = maps.index(path, **chosen.index)
    ranking = maps.ranking(index, chosen.question(parameters_of(options, index.settings, index)))
    if options["rerank"]:
        from hal9.ripmap.ranking.reranker import open_reranker  # noqa: PLC0415 - ranking itself needs no model

        ranking.put_in_order(open_reranker(options["rerank"], options["rerank_weight"])(ranking))
    text = maps.draw(
        index,
        ranking,
        MapOptions(
            tokens=options["tokens"] or index.settings.tokens or 8192,
            detail=options["detail"],
            calls=options["calls"],
            why=options["why"],
            limit=options["limit"],
        ),
        form=form,
        counter=token_counter(options["tokenizer"]),
    )
    _show(text, form=form, color=color)
    if index.entries and not ranking.by_task and ranking.prepared.task.text.strip():
        click.echo("ripmap: nothing in the task speaks for a file; they are in order of importance", err=True)
    if not index.entries:
        click.echo(
            f"ripmap: {index.root} has no file that counts: it is empty, or ignore files, --ext, or settings "
            "leave none over",
            err=True,
        )
    if stats:
        print_stats(index)


def _misunderstood(path: Path, words: tuple[str, ...]) -> click.UsageError:
    """What was probably meant by more than a path: a misspelt command, or a task without its option."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a wrong command line is compared with commands

    near = get_close_matches(str(path), ("map", *_COMMANDS), n=1)
    if near and not path.exists():
        return click.UsageError(f"no command {path}; did you mean `ripmap {near[0]} {shlex.join(words)}`?")
    return click.UsageError(
        f"a task needs its option: ripmap {shlex.quote(str(path))} --task {shlex.quote(' '.join(words))}"
    )


def _show(text: str, *, form: str, color: bool | None) -> None:
    terminal = sys.stdout.isatty() if color is None else color
    if form == "map" and terminal:
        from hal9.ripmap.rendering.colours import paint  # noqa: PLC0415 - rich is loaded for people only

        paint(text, force=bool(color))
    else:
        click.echo(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; every error of ours is one line on standard error and an exit code."""
    command: Callable[..., Any] = ripmap.main
    try:
        command(args=list(arguments) if arguments is not None else None, prog_name="ripmap")
    except SystemExit:
        # Passed on here, or the next line would load every error there is.
        raise
    except Hal9Error as error:
        click.echo(f"ripmap: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has had enough; nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
