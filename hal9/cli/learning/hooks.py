"""`hal9 hook EVENT`, `hal9 hooks install|remove`, `hal9 mcp`: for other agents."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from hal9.cli.common import home_of

__all__ = ["hook", "hooks", "mcp"]

_AGENTS = click.Choice(["claude-code", "codex", "gemini-cli", "cursor"])
_MOST_INPUT = 5_000_000


@click.command()
@click.argument("event")
@click.option("--agent", type=_AGENTS, default="claude-code", show_default=True)
@click.pass_context
def hook(ctx: click.Context, event: str, agent: Any) -> int:
    """Answer one hook call of another agent: JSON in, JSON out.

    Whatever goes wrong, the agent goes on; the reason stands in the home's log.
    """
    try:
        body = json.loads(sys.stdin.read(_MOST_INPUT) or "{}")
        answer = _answered(ctx, event, agent, body if isinstance(body, dict) else {})
    except Exception as error:  # noqa: BLE001 - a broken memory must never stop another agent
        _log(ctx, f"hook {event}: {type(error).__name__}: {error}")
        answer = {}
    click.echo(json.dumps(answer))
    return 0


def _answered(ctx: click.Context, event: str, agent: Any, body: dict[str, Any]) -> dict[str, Any]:
    from hal9.hooks.session import answer_hook
    from hal9.memory.store.store import MemoryStore

    state = _state(ctx)
    memory = state / "memory.db"
    if not memory.exists():
        return {}
    with MemoryStore(memory) as store:
        return answer_hook(store, state / "hooks", agent, event, body)


def _state(ctx: click.Context) -> Path:
    """Where the home keeps its state, without reading the settings: a hook has to be quick."""
    given = ctx.obj.get("home") or os.environ.get("HAL9_HOME") or "."
    return Path(given) / ".hal9"


def _log(ctx: click.Context, text: str) -> None:
    from datetime import UTC, datetime

    try:
        folder = _state(ctx)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "hooks.log").open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
    except Exception as error:  # noqa: BLE001 - the last resort is the agent's own log
        click.echo(f"hal9: {error}", err=True)


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
