"""`hal9 serve`, `dashboard`, `token …`."""

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, home_of, json_option, print_json, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AsyncExitStack

    from starlette.routing import BaseRoute

    from hal9.api.services import Services
    from hal9.api.tokens import Token, TokenStore
    from hal9.cluster import Home

__all__ = ["api_beside", "dashboard_command", "serve", "token"]

_SCOPES = click.Choice(["read", "submit", "feedback", "approve", "admin"])


@click.command()
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Serve the API and the dashboard without a cluster; `hal9 up` does so by itself (api.enabled).

    Tasks that come in wait for the cluster.
    """
    from hal9.api.server import ApiServer

    home = home_of(ctx)

    async def go() -> None:
        import asyncio

        async with ApiServer(home, more=_served) as server:
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            click.echo(f"serving {home.root} at {server.url}; Ctrl-C stops it.")
            await stop.wait()

    run(go())


@contextlib.asynccontextmanager
async def _served(services: "Services") -> "AsyncIterator[Sequence[BaseRoute]]":
    """What a server offers and does besides its endpoints: the dashboard, and sending traces."""
    from hal9.dashboard.app import dashboard
    from hal9.telemetry.exporter import TelemetryExporter

    settings = services.home.settings().telemetry
    async with dashboard(services) as routes, TelemetryExporter(services, settings):
        yield routes


async def api_beside(home: "Home", stack: "AsyncExitStack") -> tuple[str, str]:
    """Serve the API for as long as the stack is open; its URL, and a problem when it cannot be served.

    A cluster whose API cannot be served still works, so that is told and no end.
    """
    from hal9.api.server import ApiServer
    from hal9.api.services import Services
    from hal9.errors.api import ApiRunning
    from hal9.errors.base import Hal9Error
    from hal9.telemetry.exporter import TelemetryExporter, check_telemetry

    settings = home.settings()
    check_telemetry(settings.telemetry)
    if not settings.api.enabled:
        if settings.telemetry.otlp_url is not None:
            services = await stack.enter_async_context(Services(home))
            await stack.enter_async_context(TelemetryExporter(services, settings.telemetry))
        return "", ""
    try:
        return (await stack.enter_async_context(ApiServer(home, more=_served))).url, ""
    except ApiRunning as error:
        return error.url, ""
    except Hal9Error as error:
        return "", f"the API is not served: {error}"


@click.command("dashboard")
@click.option("--print", "only_print", is_flag=True, help="Print the address instead of opening a browser.")
@click.pass_context
def dashboard_command(ctx: click.Context, only_print: bool) -> None:
    """Open the dashboard in a browser, signed in. The address works once, for five minutes."""
    from hal9.api.place import served_at
    from hal9.errors.cluster import DaemonNotRunning

    home = home_of(ctx)
    url = served_at(home)
    if url is None:
        raise DaemonNotRunning(home=f"{home.root} (`hal9 serve` serves the dashboard alone)")
    with _store(ctx) as store:
        address = f"{url}/login?code={store.new_code()}"
    click.echo(address)  # a browser that cannot be opened is not always told to us
    if not only_print:
        click.launch(address)


@click.group()
def token() -> None:
    """Say who may use the API, and for what.

    Scopes: read (see everything), submit (give and end tasks), feedback (judge answers), approve (decide what
    waits, undo changes), admin (all of it, and steering what is learned).
    """


def _store(ctx: click.Context) -> "TokenStore":
    from hal9.api.tokens import TokenStore
    from hal9.clock import SystemClock

    home = home_of(ctx)
    home.make_state()
    return TokenStore(home.state / "api.db", clock=SystemClock())


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=_SCOPES, help="May be repeated; default: read, submit."
)
@click.option("--expires", metavar="AGE", help="How long it is good: 12h, 30d; default: for ever.")
@json_option
@click.pass_context
def create(ctx: click.Context, name: str, scopes: Any, expires: str | None, as_json: bool) -> None:
    """Make a token for the client NAME; its text is shown this once."""
    from hal9.cluster.history import parse_age

    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise click.BadParameter("give the client a short name", param_hint="NAME")
    try:
        lifetime = None if expires is None else parse_age(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
    with _store(ctx) as store:
        made, text = store.create(name, tuple(scopes) or ("read", "submit"), lifetime_seconds=lifetime)
    if as_json:
        print_json({**_as_json(made), "token": text})
    else:
        click.echo(text)
        click.echo(f"for {name}: {', '.join(made.scopes)}. It is not shown again.", err=True)


@token.command("list")
@json_option
@click.pass_context
def list_tokens(ctx: click.Context, as_json: bool) -> None:
    """List tokens; what they say is known to their clients only."""
    import time

    with _store(ctx) as store:
        found = store.all()
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    for one in found:
        ends = (
            ""
            if one.expires_at is None
            else time.strftime(", until %Y-%m-%d %H:%M", time.localtime(one.expires_at))
        )
        console().print(f"{one.name}  {', '.join(one.scopes)}{ends}", markup=False)
    if not found:
        click.echo("no tokens yet; `hal9 token create NAME` makes one.")


def _as_json(one: "Token") -> dict[str, Any]:
    return {
        "name": one.name,
        "scopes": list(one.scopes),
        "created_at": one.created_at,
        "expires_at": one.expires_at,
    }


@token.command()
@click.argument("name")
@click.pass_context
def revoke(ctx: click.Context, name: str) -> None:
    """End a token at once."""
    with _store(ctx) as store:
        store.revoke(name)
    click.echo(f"the token of {name!r} is not good any more.")
