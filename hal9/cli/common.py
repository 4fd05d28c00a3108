"""What commands share: the home, running a coroutine, JSON, consoles."""

import asyncio
import json
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hal9.cluster import Cluster, Home

__all__ = ["console", "home_of", "json_option", "open_cluster", "print_json", "run"]

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def home_of(ctx: click.Context) -> "Home":
    """The home the command is about."""
    from hal9.cluster.home import find_home

    given: Path | None = ctx.find_root().obj.get("home")
    return find_home(given)


def open_cluster(ctx: click.Context) -> "Cluster":
    """The client for the command's home; use it with `async with`."""
    from hal9.cluster.client import Cluster

    return Cluster(home_of(ctx))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def print_json(value: Any) -> None:
    """Machine-readable output, one document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@cache
def console(*, stderr: bool = False) -> "Console":
    """The terminal; plain text when it is a pipe."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)
