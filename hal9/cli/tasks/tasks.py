"""`hal9 submit`, `tasks`, `show`, `trace`, `watch`, `result`, `cancel`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.app import TASK_FAILED
from hal9.cli.common import OutputFile, console, goes_on, json_option, open_cluster, print_json, run

if TYPE_CHECKING:
    from hal9.api.remote import RemoteCluster
    from hal9.cluster.client import Cluster
    from hal9.journal.tasks import TaskRow
    from hal9.journal.turns import TurnEntry

__all__ = ["cancel", "result", "show", "submit", "tasks", "trace", "watch"]

_SILENT_SECONDS = 60.0  # a host that said nothing for so long does not take up a task
_STATES = click.Choice(["queued", "running", "done", "failed", "cancelled"])


@click.command()
@click.argument("objective", required=False)
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), help="A file the task is about."
)
@click.option("--workspace", type=click.Path(path_type=Path), help="Directory the task may change.")
@click.option(
    "--allow-home",
    is_flag=True,
    help="Let your home folder, or a HAL9 home, be the workspace; secrets are left out.",
)
@click.option(
    "--review", is_flag=True, help="Keep the changes for `hal9 apply`; the workspace stays as it is."
)
@click.option(
    "--divide", is_flag=True, help="Let strategy and design look at it and divide it, however short it is."
)
@click.option("--check", help="Command that must end with 0 in the workspace, e.g. 'pytest -q'.")
@click.option("--wait", is_flag=True, help="Show progress and wait for the answer.")
@click.option("--budget-tokens", type=click.IntRange(min=1), help="Most tokens the task may use.")
@click.option("--budget-usd", type=click.FloatRange(min=0), help="Most dollars the task may cost.")
@click.option(
    "--timeout", "timeout_seconds", type=click.FloatRange(min=0.1), help="Seconds the task may take."
)
@click.option("--family", default="", help="Task family, for memory and routing.")
@click.option("--workload", default="neurons", show_default=True, help="Who does it.")
@click.option("--to", metavar="NEURON", help="The neuron that gets it, past the layers above.")
@json_option
@click.pass_context
def submit(ctx: click.Context, /, objective: str | None, wait: bool, as_json: bool, **options: Any) -> int:
    """Give the cluster a task. OBJECTIVE "-" (or none) is read from standard input.

    A task that was accepted is not lost: it waits for the cluster when that is down.
    """
    if objective in (None, "-"):
        objective = sys.stdin.read()
    family = options.pop("family")

    async def go() -> "TaskRow":
        from hal9.signals import TaskScope

        async with open_cluster(ctx) as cluster:
            workspace = options["workspace"]
            options["scope"] = TaskScope(
                workspace=str(workspace.absolute()) if workspace else "", task_family=family
            )
            task_id = await cluster.submit(objective or "", **options)
            await _tell_when_down(cluster)
            if not wait:
                return await cluster.task(task_id)
            if not as_json:
                from hal9.cli.tasks.live import follow

                await follow(cluster, task_id)
            with goes_on(task_id):
                return await cluster.wait(task_id)

    task = run(go())
    if wait:
        return _finish(task, as_json=as_json)
    if as_json:
        _print_task(task)
    else:
        short = task.id[-12:]
        click.echo(f"{task.id}\n`hal9 watch {short}` follows it, `hal9 result {short}` prints the answer.")
    return 0


def _print_task(task: "TaskRow") -> None:
    from hal9.cluster.client import task_as_json

    print_json(task_as_json(task))


async def _tell_when_down(cluster: "Cluster | RemoteCluster") -> None:
    """Say that nobody is there to do the task: it waits, and so would whoever waits for it."""
    status = await cluster.status()
    elsewhere = any(host["silent_for"] < _SILENT_SECONDS for host in status.get("hosts", ()))
    if status.get("state") == "down" and not elsewhere:
        click.echo(
            f"no cluster runs on {status.get('home')}: the task waits until `hal9 up --detach` starts one",
            err=True,
        )


def _finish(task: "TaskRow", *, as_json: bool) -> int:
    if as_json:
        _print_task(task)
    else:
        from hal9.cli.tasks.render import answer_panel

        console().print(answer_panel(task))
    return 0 if task.state == "done" else TASK_FAILED


@click.command()
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--state", type=_STATES)
@json_option
@click.pass_context
def tasks(ctx: click.Context, limit: int, state: Any, as_json: bool) -> None:
    """List tasks, newest first."""

    async def read() -> "list[TaskRow]":
        async with open_cluster(ctx) as cluster:
            return await cluster.tasks(limit=limit, state=state)

    rows = run(read())
    if as_json:
        from hal9.cluster.client import task_as_json

        print_json([task_as_json(task) for task in rows])
    elif rows:
        from hal9.cli.tasks.render import task_table

        console().print(task_table(rows, width=console().width))
    else:
        click.echo('no tasks yet; `hal9 submit "…"` gives one.')


@click.command()
@click.argument("task_id")
@click.option("--steps", "whole", is_flag=True, help="All that was said, done and seen, step by step.")
@json_option
@click.pass_context
def show(ctx: click.Context, task_id: str, whole: bool, as_json: bool) -> None:
    """Show one task. TASK_ID is an id, its beginning, its end, or "last"."""
    if whole:
        _show_steps(ctx, task_id, as_json=as_json)
        return

    async def read() -> "TaskRow":
        async with open_cluster(ctx) as cluster:
            return await cluster.task(task_id)

    task = run(read())
    if as_json:
        _print_task(task)
        return
    from hal9.cli.tasks.render import answer_panel, task_line

    out = console()
    out.print(task_line(task))
    out.print(task.payload.objective, markup=False)
    for label, value in (("workspace", task.payload.workspace), ("check", task.payload.check)):
        if value:
            out.print(f"[dim]{label}[/] {value}")
    out.print(answer_panel(task))


def _show_steps(ctx: click.Context, task_id: str, *, as_json: bool) -> None:
    async def read() -> "list[TurnEntry]":
        async with open_cluster(ctx) as cluster:
            return await cluster.turn_entries(task_id)

    entries = run(read())
    if as_json:
        print_json([asdict(entry) for entry in entries])
    elif entries:
        from hal9.cli.render_turns import turn_steps

        console().print(turn_steps(entries))
    else:
        click.echo(f"no turn of this task went step by step; `hal9 trace {task_id}` shows its path.")


@click.command()
@click.argument("task_id")
@click.option("--svg", type=OutputFile(), help="Draw it into this file.")
@json_option
@click.pass_context
def trace(ctx: click.Context, task_id: str, svg: Path | None, as_json: bool) -> None:
    """Show a task's path through the neurons, with time, tokens and cost per step."""

    async def read() -> "tuple[TaskRow, list[Any]]":
        async with open_cluster(ctx) as cluster:
            return await cluster.task(task_id), await cluster.steps(task_id)

    task, steps = run(read())
    if as_json:
        print_json([step.model_dump(mode="json") for step in steps])
        return
    from hal9.cli.tasks.render import save_svg, trace_tree

    tree = trace_tree(task, steps)
    console().print(tree)
    if svg is not None:
        save_svg(tree, svg, title=f"hal9 trace {task.id[-12:]}")


@click.command()
@click.argument("task_id", required=False)
@click.pass_context
def watch(ctx: click.Context, task_id: str | None) -> int:
    """Follow a task until it ends, or (without TASK_ID) everything the cluster does.

    Without TASK_ID a terminal shows a full screen (? lists its keys); a pipe gets a line for each thing done.
    """
    if task_id is None:
        from hal9.cli.tasks.screen import follow_all

        async def go_all() -> None:
            from hal9.cluster.client import Cluster

            async with open_cluster(ctx) as cluster:
                where = str(cluster.home.root) if isinstance(cluster, Cluster) else cluster.url
                await follow_all(cluster, where=where)

        run(go_all())
        return 0

    from hal9.cli.tasks.live import follow

    async def go() -> "TaskRow":
        async with open_cluster(ctx) as cluster:
            full = await cluster.resolve(task_id)
            await follow(cluster, full)
            return await cluster.wait(full)

    return _finish(run(go()), as_json=False)


@click.command()
@click.argument("task_id")
@click.option("--wait", is_flag=True, help="Wait until there is one.")
@json_option
@click.pass_context
def result(ctx: click.Context, task_id: str, wait: bool, as_json: bool) -> int:
    """Print a task's answer, nothing else. Exit code 8 when the task failed."""

    async def read() -> "TaskRow":
        async with open_cluster(ctx) as cluster:
            return await cluster.wait(task_id) if wait else await cluster.task(task_id)

    task = run(read())
    if as_json:
        _print_task(task)
    elif task.result is None:
        click.echo(f"task {task.id} is {task.state}; `hal9 result {task_id} --wait` waits for it.", err=True)
        return 1
    else:
        click.echo(task.result.answer)
        if task.result.error is not None:
            click.echo(f"{task.result.error.reason}: {task.result.error.message}", err=True)
    return 0 if task.state == "done" else TASK_FAILED


@click.command()
@click.argument("task_id")
@click.option("--reason", default="cancelled by the user", help="Kept with the task.")
@click.pass_context
def cancel(ctx: click.Context, task_id: str, reason: str) -> None:
    """End a task. While the cluster is down, it is cancelled at the next start."""

    async def go() -> str:
        async with open_cluster(ctx) as cluster:
            full = await cluster.resolve(task_id)
            await cluster.cancel(full, reason=reason)
            return full

    click.echo(f"{run(go())} is being cancelled.")
