"""What commands share: the home, running a coroutine, JSON, consoles."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hal9.api.remote import RemoteCluster
    from hal9.cluster import Cluster, Home

__all__ = [
    "OutputFile",
    "console",
    "goes_on",
    "home_of",
    "json_option",
    "open_cluster",
    "open_server",
    "print_json",
    "run",
    "view",
    "view_of",
]

T = TypeVar("T")


class OutputFile(click.Path):
    """A file that a command writes; a missing folder is told before any work is done for it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        if not Path(path).parent.is_dir():
            self.fail(f"there is no folder {str(Path(path).parent)!r}", param, ctx)
        return path


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def home_of(ctx: click.Context) -> "Home":
    """The home the command is about.

    Raises:
        LocalOnly: the command was pointed at a server, and works on its machine only.
    """
    from hal9.cli.server import server_of
    from hal9.cluster.home import find_home

    if ctx.find_root().ensure_object(dict).get("url") or server_of(ctx) is not None:
        from hal9.errors.api import LocalOnly

        raise LocalOnly(command=ctx.command_path.partition(" ")[2])
    given: Path | None = ctx.find_root().ensure_object(dict).get("home")
    return find_home(given)


def open_cluster(ctx: click.Context) -> "Cluster | RemoteCluster":
    """The client for the command's home or server; use it with `async with`."""
    if (far := open_server(ctx)) is not None:
        return far
    from hal9.cluster.client import Cluster

    return Cluster(home_of(ctx))


def open_server(ctx: click.Context) -> "RemoteCluster | None":
    """The client for the server the command was pointed at, if it was; use it with `async with`."""
    from hal9.cli.server import server_of

    server = server_of(ctx)
    if server is None:
        return None
    from hal9.api.remote import RemoteCluster

    return RemoteCluster(server.url, server.token, ca_file=server.ca_file)


def view(ctx: click.Context, name: str, **query: Any) -> Any:
    """One of the views of what was learned (see `hal9.api.views`), from the home here or over HTTP."""

    async def read() -> Any:
        async with open_cluster(ctx) as cluster:
            return await view_of(cluster, name, **query)

    return run(read())


async def view_of(cluster: "Cluster | RemoteCluster", name: str, **query: Any) -> Any:
    """The same of a cluster that is open already."""
    from hal9.cluster.client import Cluster

    if not isinstance(cluster, Cluster):
        return await cluster.view(name, **query)
    from hal9.api.views import VIEWS

    function, model, _ = VIEWS[name]
    given = {key: value for key, value in query.items() if value is not None}
    return await function(cluster, model.model_validate(given))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def print_json(value: Any) -> None:
    """Machine-readable output, one document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@contextlib.contextmanager
def goes_on(task_id: str) -> Iterator[None]:
    """Say, when a person stops waiting (Ctrl-C), that the task does not stop with that."""
    try:
        yield
    except asyncio.CancelledError:
        short = task_id[-12:]
        click.echo(
            f"The task goes on: `hal9 watch {short}` follows it, `hal9 cancel {short}` ends it.", err=True
        )
        raise


def console(*, stderr: bool = False) -> "Console":
    """The terminal; plain text when it is a pipe."""
    from rich.console import Console

    class _Terminal(Console):
        def on_broken_pipe(self) -> None:
            """The reader (head, less) has seen enough; rich would call that a failure."""
            raise BrokenPipeError

    return _Terminal(stderr=stderr, highlight=False, soft_wrap=False)
