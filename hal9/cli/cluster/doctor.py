"""`hal9 doctor`: is everything there that a cluster needs, and what was refused."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from hal9.cli.common import console, home_of, json_option, print_json

if TYPE_CHECKING:
    from hal9.cluster import Home

__all__ = ["doctor"]

_DEAD_SHOWN = 10
_LOW_DISK_MB = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "note", "problem"]
    text: str


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """Check settings, neurons, broker, model, sandbox, databases and disk; show dead letters."""
    home = home_of(ctx)
    findings = [finding for look in _LOOKS for finding in look(home)]
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
    marks = {"ok": "[green]✔[/]", "note": "[yellow]![/]", "problem": "[red]✘[/]"}
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


def _settings(home: "Home") -> Iterator[Finding]:
    from hal9.errors.base import Hal9Error
    from hal9.neurons.definition import load_neurons

    try:
        settings = home.settings()
        yield Finding("settings", "ok", str(home.settings_file))
        neurons = load_neurons(home.neurons, enabled=settings.neurons.enabled)
        layers = sorted({one.meta.layer for one in neurons.values()}, reverse=True)
        yield Finding("neurons", "ok", f"{len(neurons)} in layers {', '.join(f'L{n}' for n in layers)}")
    except Hal9Error as error:
        yield Finding("settings", "problem", str(error))


def _daemon(home: "Home") -> Iterator[Finding]:
    from hal9.cluster.process import read_status

    said = read_status(home)
    if said["state"] == "down":
        yield Finding("cluster", "note", "down; `hal9 up --detach` starts it")
        return
    yield Finding("cluster", "ok", f"{said['state']}, process {said['pid']}, broker {said['broker']}")
    for alert in said.get("alerts", []):
        yield Finding("alert", "note", alert)


def _model(home: "Home") -> Iterator[Finding]:
    from hal9.cluster.thinking import resolve_spec
    from hal9.errors.base import Hal9Error
    from hal9.minds.models import default_model, installed

    try:
        spec = resolve_spec("default", home.settings().minds)
        if spec != "local" and not spec.startswith("local:"):
            yield Finding("mind", "ok", spec)
            return
        name = spec.removeprefix("local").removeprefix(":") or default_model()
        yield Finding("mind", "ok", f"{spec}, file {installed(name)}")
    except Hal9Error as error:
        yield Finding("mind", "problem", str(error))


def _sandbox(home: "Home") -> Iterator[Finding]:
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


def _files(home: "Home") -> Iterator[Finding]:
    if not home.state.is_dir():
        yield Finding("state", "note", f"{home.state} does not exist yet")
        return
    for path in (home.journal, home.memory, home.budgets):
        if not path.exists():
            continue
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            finally:
                connection.close()
        except sqlite3.Error as error:
            said = str(error)
        size = path.stat().st_size / 1e6
        state: Literal["ok", "problem"] = "ok" if said == "ok" else "problem"
        yield Finding(path.name, state, f"{size:.2f} MB" if said == "ok" else str(said))
    free = shutil.disk_usage(home.state).free / 1e6
    yield Finding("disk", "ok" if free > _LOW_DISK_MB else "problem", f"{free / 1000:.1f} GB free")


def _dead_letters(home: "Home") -> dict[str, Any]:
    if not home.journal.exists():
        return {"total": 0, "newest": []}
    connection = sqlite3.connect(f"file:{home.journal}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        total = connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
        rows = connection.execute(
            "SELECT at, stage, reason, detail, topic, signal_id, size FROM dead_letters "
            "ORDER BY seq DESC LIMIT ?",
            (_DEAD_SHOWN,),
        ).fetchall()
    except sqlite3.Error as error:
        return {"total": 0, "newest": [], "error": str(error)}
    finally:
        connection.close()
    return {"total": total, "newest": [dict(row) for row in rows]}


_LOOKS: tuple[Callable[["Home"], Iterator[Finding]], ...] = (_settings, _daemon, _model, _sandbox, _files)
