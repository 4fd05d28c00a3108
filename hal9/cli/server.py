"""Which cluster a command talks to: the home here, or a server by URL, profile or environment."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

__all__ = ["Server", "login", "profiles_file", "server_of", "with_server_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and the token for it."""

    url: str
    token: str = ""
    ca_file: Path | None = None


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def keep(ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value is not None:
            ctx.find_root().ensure_object(dict)[name] = value
        return value

    return keep


def _options() -> list[click.Option]:
    return [
        click.Option(
            ["--url"], expose_value=False, callback=_keep("url"), help="A cluster's server (or HAL9_URL)."
        ),
        click.Option(
            ["--token"], expose_value=False, callback=_keep("token"), help="Token for it (or HAL9_TOKEN)."
        ),
        click.Option(
            ["--profile"],
            expose_value=False,
            callback=_keep("profile"),
            help="A server that `hal9 login` has kept (or HAL9_PROFILE).",
        ),
    ]


def with_server_options(command: click.Command) -> click.Command:
    """Give a command, and all commands below it, the options that name a server."""
    if not any(parameter.name == "url" for parameter in command.params):
        command.params.extend(_options())
    if isinstance(command, click.Group):
        for one in command.commands.values():
            with_server_options(one)
    return command


def profiles_file() -> Path:
    """Where `hal9 login` keeps servers."""
    import platformdirs

    return Path(platformdirs.user_config_dir("hal9")) / "servers.yaml"


def server_of(ctx: click.Context) -> Server | None:
    """The server a command was pointed at, or None for the home here.

    Raises:
        ProfileUnknown: no such profile.
    """
    import os

    given: dict[str, Any] = ctx.find_root().ensure_object(dict)
    if given.get("home") and not given.get("url") and not given.get("profile"):
        return None
    url = given.get("url") or (None if given.get("profile") else os.environ.get("HAL9_URL"))
    profile = given.get("profile") or (None if url else os.environ.get("HAL9_PROFILE"))
    token = given.get("token") or os.environ.get("HAL9_TOKEN") or ""
    authority = os.environ.get("HAL9_CA_FILE")
    ca_file = Path(authority) if authority else None
    if url:
        kept = next((one for one in _profiles().values() if one["url"] == url.rstrip("/")), {})
        return Server(url=url, token=token or str(kept.get("token", "")), ca_file=ca_file or _path(kept))
    if profile:
        known = _profiles()
        if profile not in known:
            from hal9.errors.api import ProfileUnknown

            raise ProfileUnknown(name=profile, path=str(profiles_file()), known=tuple(sorted(known)))
        found = known[profile]
        return Server(
            url=found["url"], token=token or found.get("token", ""), ca_file=ca_file or _path(found)
        )
    return None


def _path(profile: dict[str, str]) -> Path | None:
    return Path(profile["ca_file"]) if profile.get("ca_file") else None


def _profiles() -> dict[str, dict[str, str]]:
    import yaml

    try:
        found = yaml.safe_load(profiles_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"{profiles_file()} cannot be read: {error}") from error
    if not isinstance(found, dict):
        return {}
    return {str(name): one for name, one in found.items() if isinstance(one, dict) and "url" in one}


@click.command()
@click.argument("url")
@click.option("--name", default="default", show_default=True, help="What --profile calls it.")
@click.option("--token", help="The token; asked for when it is not given.")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA of its certificate."
)
def login(url: str, name: str, token: str | None, ca_file: Path | None) -> None:
    """Keep a server's URL and token, so that --profile NAME (or HAL9_PROFILE) is enough.

    The token is tried first; the file is readable by you only.
    """
    import asyncio

    import yaml

    from hal9.api.remote import RemoteCluster

    text = token or click.prompt("token", hide_input=True)
    authority = ca_file.absolute() if ca_file else None

    async def check() -> str:
        async with RemoteCluster(url, text, ca_file=authority) as cluster:
            return str((await cluster.status())["state"])

    state = asyncio.run(check())
    path = profiles_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"url": url.rstrip("/"), "token": text, **({"ca_file": str(authority)} if authority else {})}
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(yaml.safe_dump({**_profiles(), name: entry}), encoding="utf-8")
    click.echo(f"{url} answers, its cluster is {state}; kept as {name!r}: `hal9 --profile {name} status`.")
