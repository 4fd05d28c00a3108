"""`hal9 up`, `stop`, `status`, `logs`."""

import logging
import logging.handlers
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, home_of, json_option, open_cluster, print_json, run
from hal9.text import span_in_words

if TYPE_CHECKING:
    from rich.table import Table

    from hal9.cluster import Home

__all__ = ["logs", "status", "stop", "up"]

_WORDS = {"no_broker": "no broker", "stuck": "stands still"}
_WORDS = {"no_broker": "no broker", "stuck": "stands still"}
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@click.command()
@click.option("--detach", "-d", is_flag=True, help="Run in the background.")
@click.option("--accept-loss", is_flag=True, help="Go on although the journal holds less than was accepted.")
@click.option("--log-to-stderr", is_flag=True, hidden=True)
@click.pass_context
def up(ctx: click.Context, detach: bool, accept_loss: bool, log_to_stderr: bool) -> None:
    """Start the cluster: broker, neurons, scheduler."""
    home = home_of(ctx)
    run(_refuse_problems(home))
    if detach:
        from hal9.cluster.supervision.process import start_detached

        pid = start_detached(home, accept_loss=accept_loss)
        url = _served(home)
        seen = f"{url} and `hal9 status` show it" if url else "`hal9 status` shows it"
        click.echo(f"cluster is up (process {pid}); {seen}, `hal9 stop` ends it.")
        return
    _log(home, to_stderr=log_to_stderr)
    run(_serve(home, quiet=log_to_stderr, accept_loss=accept_loss))


def _served(home: "Home") -> str | None:
    """Where the API is, without loading a server for the question."""
    if not home.settings().api.enabled:
        return None
    from hal9.api.place import served_at

    return served_at(home)


async def _refuse_problems(home: "Home") -> None:
    """Say what keeps the cluster from working before anything is started."""
    from hal9.cluster.supervision.readiness import readiness

    async for finding in readiness(home):
        if finding.state == "problem":
            raise finding.error or click.ClickException(finding.text)
        if finding.state == "note":
            click.echo(f"{finding.what}: {finding.text}", err=True)


async def _serve(home: "Home", *, quiet: bool, accept_loss: bool) -> None:
    from hal9.cli.serving.serve import api_beside
    from hal9.cluster.daemon import Daemon

    async with AsyncExitStack() as stack:
        # First, so that whoever sees the cluster ready can reach it; and it ends after the last turn.
        url, problem = await api_beside(home, stack)
        daemon = await stack.enter_async_context(Daemon(home, accept_loss=accept_loss))
        if problem:
            daemon.alert(problem)
        if not quiet:
            seen = f", {url} shows it" if url else ""
            click.echo(f"cluster {home.root} is up{seen}; Ctrl-C stops it.")
        await daemon.serve()
        if not quiet:
            click.echo("stopping: running turns are finished first, Ctrl-C again ends them.")


def _log(home: "Home", *, to_stderr: bool) -> None:
    home.make_state()
    settings = home.settings().logging
    handler: logging.Handler
    if to_stderr:
        handler = logging.StreamHandler()
    else:
        handler = logging.handlers.RotatingFileHandler(
            home.log, maxBytes=settings.max_mb * 1024 * 1024, backupCount=settings.keep
        )
    logging.basicConfig(level=settings.level, format=_FORMAT, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)


@click.command()
@click.option("--force", is_flag=True, help="Kill it; accepted tasks are taken up at the next start.")
@click.option(
    "--timeout", "seconds", type=float, help="Seconds to wait (default: cluster.drain_seconds + 15)."
)
@click.pass_context
def stop(ctx: click.Context, force: bool, seconds: float | None) -> None:
    """Stop the cluster: running turns are finished first, up to cluster.drain_seconds."""
    from hal9.cluster.supervision.process import stop_daemon

    home = home_of(ctx)
    limit = seconds if seconds is not None else home.settings().cluster.drain_seconds + 15.0
    started = time.monotonic()
    pid = stop_daemon(home, seconds=limit, force=force)
    click.echo(f"process {pid} has ended after {time.monotonic() - started:.1f} s.")


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> int:
    """Show the cluster, its neurons and tasks. Exit code 1 when it is down."""

    async def read() -> dict[str, Any]:
        async with open_cluster(ctx) as cluster:
            return await cluster.status()

    said = run(read())
    if as_json:
        print_json(said)
    else:
        _print_status(said)
    return 0 if said["state"] == "ready" else 1


def _print_status(said: dict[str, Any]) -> None:
    out = console()
    state = str(said["state"])
    colour = {"ready": "green", "down": "red", "stuck": "red", "no_broker": "red"}.get(state, "yellow")
    out.print(f"[{colour}]●[/] [bold]{_WORDS.get(state, state)}[/]  {said['home']}")
    up = state not in ("down", "starting")
    if up:
        age = span_in_words(time.time() - float(said.get("started_at") or time.time()))
        out.print(
            f"  process {said.get('pid')}, up {age}, broker {said.get('broker')}, mind {said.get('mind')}"
        )
    if state == "no_broker":
        bus = said.get("bus") or {}
        out.print(f"  for {span_in_words(bus.get('seconds', 0.0))}: {bus.get('error', '')}", markup=False)
    if state == "stuck":
        stuck = said.get("stuck") or {}
        seconds = span_in_words(stuck.get("seconds") or said.get("status_age", 0.0))
        place = stuck.get("where") or "an unknown place"
        out.print(f"  for {seconds}, in {place}; `hal9 stop` ends it", markup=False)
    if said["tasks"]:
        counts = sorted(said["tasks"].items())
        out.print("  tasks: " + ", ".join(f"{number} {one}" for one, number in counts))
    _print_hosts(said)
    for one in said.get("waiting", []) if up else ():
        short, wanted = str(one["task"])[-12:], ", ".join(one["for"])
        out.print(f"  task {short} waits for {wanted}, which nobody serves now", markup=False)
    for one in said.get("requests", []):
        from hal9.cli.cluster.requests import request_line

        out.print("  request ", request_line(one))
    if up:
        out.print(_neuron_table(said))
    for server, problem in said.get("tool_servers", {}).items():
        out.print(f"  tool server {server}: {problem}", markup=False)
    for alert in said.get("alerts", []):
        out.print("  [yellow]![/] ", end="")
        out.print(str(alert), markup=False)


def _neuron_table(said: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("layer", "neuron", "where"):
        table.add_column(column)
    rows = [(layer, name, "daemon") for name, layer in said.get("neurons", {}).items()]
    for node, state in said.get("nodes", {}).items():
        rows += [(layer, name, f"{node} ({state['state']})") for name, layer in state["neurons"].items()]
    for layer, name, where in sorted(rows, key=lambda row: (-row[0], row[1])):
        table.add_row(f"L{layer}", name, where)
    return table


def _print_hosts(said: dict[str, Any]) -> None:
    for one in said.get("hosts", []):
        console().print(f"  host {one['name']}: {_host_line(one)}", markup=False)


def _host_line(host: dict[str, Any]) -> str:
    words = [f"{host['running']} turns", f"seen {span_in_words(host['silent_for'])} ago"]
    if host["leads"]:
        words.insert(0, "leads")
    if host["draining"]:
        words.insert(0, "draining")
    return ", ".join(words)


@click.command()
@click.option("--lines", "-n", default=50, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
@click.pass_context
def logs(ctx: click.Context, lines: int, follow: bool) -> None:
    """Show the daemon's log."""
    path = home_of(ctx).log
    if not path.exists():
        click.echo(f"{path}: nothing has been logged yet")
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream.readlines()[-lines:]:
            click.echo(line, nl=False)
        while follow:
            line = stream.readline()
            if line:
                click.echo(line, nl=False)
            else:
                time.sleep(0.2)
