"""`hal9 hook EVENT`, `hal9 hooks install|remove`, `hal9 mcp`: for other agents."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from hal9.cli.common import home_of

__all__ = ["hook", "hooks", "mcp"]

_AGENTS = click.Choice(["claude-code", "codex", "gemini-cli", "cursor"])


@click.command()
@click.argument("event")
@click.option("--agent", type=_AGENTS, default="claude-code", show_default=True)
@click.pass_context
def hook(ctx: click.Context, event: str, agent: Any) -> int:
    """Answer one hook call of another agent: JSON in, JSON out.

    Whatever goes wrong, the agent goes on; the reason stands in the home's log.
    """
    from hal9.hooks.client import hook_call

    home = ctx.obj.get("home") or os.environ.get("HAL9_HOME") or "."
    hook_call(["--home", str(home), "hook", event, "--agent", agent])
    return 0


@click.group()
def hooks() -> None:
    """Let other agents ask this memory before they act."""


@hooks.command("install")
@click.argument("agent", type=_AGENTS)
@click.option("--user", is_flag=True, help="For all projects of this user instead of this folder.")
@click.pass_context
def install_hook(ctx: click.Context, agent: Any, user: bool) -> None:
    """Enter the hook into an agent's settings; what else stands there is kept."""
    from hal9.hooks.install import install

    program = str(Path(sys.argv[0]).resolve()) if Path(sys.argv[0]).name.startswith("hal9") else "hal9"
    path = install(agent, _folder(user), program=program, home=home_of(ctx).root)
    click.echo(f"{path}: the hook stands there now; `hal9 hooks remove {agent}` takes it out")


@hooks.command("remove")
@click.argument("agent", type=_AGENTS)
@click.option("--user", is_flag=True, help="From the settings for all projects.")
def remove_hook(agent: Any, user: bool) -> None:
    """Take the hook out of an agent's settings."""
    from hal9.hooks.install import remove

    click.echo(f"{remove(agent, _folder(user))}: the hook is out")


def _folder(user: bool) -> Path:
    return Path.home() if user else Path.cwd()


@click.command()
@click.option(
    "--http", "port", type=click.IntRange(1, 65535), help="Serve HTTP on this port of the loopback."
)
@click.pass_context
def mcp(ctx: click.Context, port: int | None) -> None:
    """Serve the memory over MCP: recall, remember, rules, report_outcome, explain."""
    from hal9.hooks.mcp_server import serve

    serve(home_of(ctx).memory, port=port)
