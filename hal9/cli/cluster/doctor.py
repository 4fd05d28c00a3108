"""`hal9 doctor`: is everything there that a cluster needs, and what was refused."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import click

from hal9.cli.common import console, home_of, json_option, print_json, run
from hal9.database import PostgresPlace, is_there, look_into

if TYPE_CHECKING:
    from hal9.cluster import Home
    from hal9.cluster.supervision.readiness import Finding

__all__ = ["doctor"]

_DEAD_SHOWN = 10
_LOW_DISK_MB = 500


@click.command()
@click.option("--online", is_flag=True, help="Ask every model in use for one token (hosted ones cost money).")
@json_option
@click.pass_context
def doctor(ctx: click.Context, online: bool, as_json: bool) -> int:
    """Check settings, neurons, broker, model, sandbox, databases and disk; show dead letters.

    A check mark says that a thing was looked at and works; what was not looked at has none.
    """
    home = home_of(ctx)
    findings = run(_look(home, online=online))
    letters = _dead_letters(home)
    bad = any(finding.state == "problem" for finding in findings)
    if as_json:
        print_json(
            {
                "ok": not bad,
                "findings": [{"what": f.what, "state": f.state, "text": f.text} for f in findings],
                "dead_letters": letters,
            }
        )
        return 1 if bad else 0
    marks = {"ok": "[green]✔[/]", "unseen": "[dim]-[/]", "note": "[yellow]![/]", "problem": "[red]✘[/]"}
    out = console()
    for finding in findings:
        out.print(f"{marks[finding.state]} [bold]{finding.what}[/]: ", end="")
        out.print(finding.text, markup=False)
    if letters["total"]:
        out.print(f"[yellow]![/] [bold]dead letters[/]: {letters['total']} in all; the newest:")
        for letter in letters["newest"]:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter["at"]))
            out.print(f"    {when} {letter['stage']} {letter['reason']}: {letter['detail']}", markup=False)
    else:
        out.print("[green]✔[/] [bold]dead letters[/]: none")
    return 1 if bad else 0


async def _look(home: "Home", *, online: bool) -> "list[Finding]":
    from hal9.cluster.supervision.process import read_status
    from hal9.cluster.supervision.readiness import look_at_broker, readiness

    found = [finding async for finding in readiness(home, online=online)]
    said = read_status(home)
    found += _daemon(said)
    if any(finding.what == "settings" and finding.state == "ok" for finding in found):
        settings = home.settings()
        found += [one async for one in look_at_broker(settings, running=said["state"] != "down")]
        found += _sandbox(home)
    return [*found, *_files(home), *_record(home), *_disk(home)]


def _daemon(said: dict[str, Any]) -> "Iterator[Finding]":
    from hal9.cluster.supervision.readiness import Finding

    state = said["state"]
    if state == "down":
        yield Finding("cluster", "note", "down; `hal9 up --detach` starts it")
        return
    bus = said.get("bus") or {}
    where = f"process {said.get('pid')}, broker {said.get('broker')}"
    if state == "stuck":
        detail = said.get("stuck") or {}
        place = f" in {detail['where']}" if detail.get("where") else ""
        age = detail.get("seconds") or said.get("status_age", 0.0)
        text = f"its event loop has stood still for {age:.0f} s{place}; `hal9 stop` ends it"
        yield Finding("cluster", "problem", text)
    elif state == "no_broker":
        text = f"{where}: not connected for {bus.get('seconds', 0):.0f} s. {bus.get('error', '')}"
        yield Finding("cluster", "problem", text)
    elif state == "ready":
        yield Finding("cluster", "ok", f"ready, {where}")
    else:
        yield Finding("cluster", "note", f"{state}, {where}")
    for one in said.get("waiting", []):
        text = f"task {str(one['task'])[-12:]} waits for {', '.join(one['for'])}, which nobody serves now"
        yield Finding("waiting", "note", text)
    for server, problem in said.get("tool_servers", {}).items():
        text = f"{server}: {problem}; the next call of one of its tools starts it anew"
        yield Finding("tool server", "problem", text)
    for alert in said.get("alerts", []):
        yield Finding("alert", "note", alert)


def _sandbox(home: "Home") -> "Iterator[Finding]":
    from hal9.cluster.supervision.readiness import Finding
    from hal9.errors.base import Hal9Error
    from hal9.workbench import choose_sandbox

    try:
        sandbox = choose_sandbox(home.settings().workbench.isolation)
    except Hal9Error as error:
        yield Finding("sandbox", "problem", str(error))
        return
    if sandbox.warning:
        yield Finding("sandbox", "note", sandbox.warning)
    else:
        yield Finding("sandbox", "ok", sandbox.kind)


def _files(home: "Home") -> "Iterator[Finding]":
    from hal9.cluster.supervision.readiness import Finding
    from hal9.errors.cluster import HomeUnwritable

    folder = home.state if home.state.is_dir() else home.root
    if not os.access(folder, os.W_OK):
        error = HomeUnwritable(home=str(home.root), detail=f"{folder} cannot be written")
        yield Finding("state", "problem", str(error))
    if not home.state.is_dir():
        yield Finding("state", "note", f"{home.state} does not exist yet")
        return
    for path in (home.journal, home.memory, home.budgets):
        if isinstance(path, PostgresPlace):
            yield _on_server(path)
            continue
        if not path.exists():
            continue
        try:
            with look_into(path) as connection:
                said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            said = str(error)
        size = path.stat().st_size / 1e6
        state: Literal["ok", "problem"] = "ok" if said == "ok" else "problem"
        yield Finding(path.name, state, f"{size:.2f} MB" if said == "ok" else str(said))


def _on_server(place: PostgresPlace) -> "Finding":
    from hal9.cluster.supervision.readiness import Finding
    from hal9.errors.base import DatabaseError

    try:
        with look_into(place) as connection:
            size, version = connection.execute(
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0), current_setting('server_version') "
                "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = ? AND c.relkind = 'r'",
                (place.schema,),
            ).fetchone()
    except DatabaseError as error:
        return Finding.of(place.schema, error)
    except sqlite3.Error as error:
        return Finding(place.schema, "problem", str(error))
    return Finding(place.schema, "ok", f"{size / 1e6:.2f} MB on PostgreSQL {version.split()[0]}")


def _record(home: "Home") -> "Iterator[Finding]":
    """Whether the journal holds as many tasks as were accepted."""
    from hal9.cluster.supervision.journal_record import require_complete
    from hal9.cluster.supervision.readiness import Finding
    from hal9.errors.base import DatabaseError
    from hal9.errors.journal import JournalIncomplete
    from hal9.journal.counts import read_record

    try:
        if not is_there(home.journal):
            if read_record(home.journal) is not None:
                yield Finding("journal", "problem", f"{home.journal} is gone, the record beside it is there")
            return
        with look_into(home.journal) as connection:
            require_complete(home, connection)
    except JournalIncomplete as error:
        yield Finding.of("journal", error)
    except (DatabaseError, sqlite3.Error) as error:
        yield Finding("journal", "problem", f"{home.journal} cannot be compared with its record: {error}")
    else:
        known = read_record(home.journal) is not None
        text = "holds every task that was accepted" if known else "has no record to be compared with yet"
        yield Finding("journal", "ok" if known else "unseen", text)


def _disk(home: "Home") -> "Iterator[Finding]":
    from hal9.cluster.supervision.readiness import Finding

    free = shutil.disk_usage(home.state if home.state.is_dir() else home.root).free / 1e6
    yield Finding("disk", "ok" if free > _LOW_DISK_MB else "problem", f"{free / 1000:.1f} GB free")


def _dead_letters(home: "Home") -> dict[str, Any]:
    from hal9.errors.base import DatabaseError

    try:
        if not is_there(home.journal):
            return {"total": 0, "newest": []}
        with look_into(home.journal) as connection:
            total = connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
            rows = connection.execute(
                "SELECT at, stage, reason, detail, topic, signal_id, size FROM dead_letters "
                "ORDER BY seq DESC LIMIT ?",
                (_DEAD_SHOWN,),
            ).fetchall()
    except (DatabaseError, sqlite3.Error) as error:
        return {"total": 0, "newest": [], "error": str(error)}
    return {"total": total, "newest": [dict(row) for row in rows]}
