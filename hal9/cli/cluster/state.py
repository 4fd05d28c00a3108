"""`hal9 state`: where the cluster's journal, budgets and memory are."""

from typing import TYPE_CHECKING

import click

from hal9.cli.common import home_of, json_option, open_cluster, print_json, run

if TYPE_CHECKING:
    from hal9.cluster.state.move import Moved

__all__ = ["drain", "state"]


@click.group()
def state() -> None:
    """Move the cluster's state between SQLite and PostgreSQL."""


@state.command()
@click.argument("source")
@click.argument("target")
@json_option
@click.pass_context
def move(ctx: click.Context, source: str, target: str, as_json: bool) -> None:
    """Copy journal, budgets and memory from SOURCE to TARGET and compare every row.

    Each is "sqlite:" (this home), "sqlite:FOLDER" or "postgresql://USER:PASSWORD@HOST/DATABASE". The cluster
    must be stopped; SOURCE stays as it is. Interrupted, the same command goes on where it was.
    """
    from hal9.cluster.state.move import move_state, places_at
    from hal9.cluster.state_files import HomeLock
    from hal9.database.protocol import without_password

    if source.startswith("sqlite:") and target.startswith("sqlite:"):
        raise click.UsageError("from SQLite to SQLite copy the .db files, with the cluster stopped.")
    home = home_of(ctx)
    home.make_state()
    cluster = home.settings().cluster.name
    old = places_at(source, cluster=cluster, folder=home.state)
    new = places_at(target, cluster=cluster, folder=home.state)

    def tell(one: "Moved") -> None:
        if not as_json:
            click.echo(f"{one.database}.{one.table}: {one.rows} rows, all equal")

    with HomeLock(home):
        done = move_state(old, new, tell=tell)
    if as_json:
        print_json([{"database": one.database, "table": one.table, "rows": one.rows} for one in done])
        return
    where = "empty" if target.startswith("sqlite:") else without_password(target)
    click.echo(f"moved; now make state.url in {home.settings_file} {where}")


@click.command()
@click.argument("host")
@click.option("--undo", is_flag=True, help="Let it take up work again.")
@click.pass_context
def drain(ctx: click.Context, host: str, undo: bool) -> None:
    """Let HOST take up nothing new; what it has begun it ends. `hal9 status` shows when it is idle."""

    async def ask() -> None:
        async with open_cluster(ctx) as cluster:
            await cluster.drain(host, drain=not undo)

    run(ask())
    click.echo(f"{host} works again" if undo else f"{host} takes up nothing new")
