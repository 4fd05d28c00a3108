"""`hal9 diff`, `apply`, `patch`: what a task changed, shown, carried over, or made a branch or a patch."""

import sys
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, home_of, json_option, open_cluster, open_server, print_json, run

if TYPE_CHECKING:
    from hal9.api.remote import RemoteCluster
    from hal9.journal.tasks import TaskRow
    from hal9.workbench.patches import TaskChanges

__all__ = ["apply", "diff", "patch"]

_SUBJECT = 72


def _changes(ctx: click.Context, task_id: str) -> "tuple[TaskRow, TaskChanges]":
    """A task and what it changed.

    Raises:
        TaskUnknown: no such task.
        ChangesMissing: nothing is kept of it.
    """
    from hal9.workbench.patches import find_changes

    async def read() -> "TaskRow":
        async with open_cluster(ctx) as cluster:
            return await cluster.task(task_id)

    task = run(read())
    return task, find_changes(home_of(ctx).changes, task.id)


@click.command()
@click.argument("what")
@click.argument("first", required=False, default="file")
@click.argument("second", required=False, default="now")
@click.option("--stat", is_flag=True, help="Only which files a task changed.")
@json_option
@click.pass_context
def diff(ctx: click.Context, what: str, first: str, second: str, stat: bool, as_json: bool) -> None:
    """Show what a task changed, or compare two versions of a neuron's prompt.

    WHAT is a task (its id, the beginning or end of it, or "last") or the name of a neuron. For a neuron,
    FIRST and SECOND are "file" (the user's file), "now" (in force), a version number, the beginning of a
    content hash, or a change's id; without them: file and now.
    """
    from hal9.cli.learning.learning import prompt_diff

    if (far := open_server(ctx)) is not None:
        if not _diff_far(far, what, stat=stat, as_json=as_json):
            prompt_diff(ctx, what, first, second, as_json=as_json)
        return
    if (home_of(ctx).neurons / f"{what}.md").is_file():
        prompt_diff(ctx, what, first, second, as_json=as_json)
        return
    _, found = _changes(ctx, what)
    shown = found.kept.shown()
    if as_json:
        print_json(_as_json(found))
        return
    if not stat:
        _print_patch("".join(found.kept.patch()))
    for change in shown if stat else ():
        click.echo(f"{change.action:<8} {change.path}")
    for path, reason in found.kept.refused.items():
        click.echo(f"left out {path}: {reason}", err=True)
    if found.carried == "none":
        click.echo(f"not in {found.kept.root}; `hal9 apply {what}` carries it over", err=True)


def _diff_far(far: "RemoteCluster", what: str, *, stat: bool, as_json: bool) -> bool:
    """The same of a cluster far away; False when WHAT is a neuron that runs there."""

    async def read() -> "tuple[TaskRow | None, bytes]":
        async with far as cluster:
            if what in (await cluster.status()).get("neurons", {}):
                return None, b""
            task = await cluster.task(what)
            return task, await cluster.patch(task.id)

    task, data = run(read())
    if task is None:
        return False
    changes = task.result.changes if task.result else []
    if as_json:
        told = [one.model_dump(mode="json") for one in changes]
        print_json({"workspace": task.payload.workspace, "changes": told})
    elif stat:
        for change in changes:
            click.echo(f"{change.action:<8} {change.path}")
    else:
        _print_patch(data.decode("utf-8", "surrogateescape"))
    return True


def _as_json(found: "TaskChanges") -> dict[str, Any]:
    return {
        "workspace": found.kept.root,
        "carried": found.carried,
        "changes": [change.model_dump(mode="json") for change in found.kept.shown()],
        "refused": found.kept.refused,
    }


def _print_patch(text: str) -> None:
    """Colours for a person; the very bytes for a pipe."""
    if console().is_terminal:
        from rich.syntax import Syntax

        safe = text.encode("utf-8", "replace").decode()
        console().print(Syntax(safe.rstrip(), "diff", background_color="default"))
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()


@click.command()
@click.argument("task_id")
@click.pass_context
def patch(ctx: click.Context, task_id: str) -> None:
    """Write what a task changed as a patch that `git apply` takes: `hal9 patch ID > file`."""
    if (far := open_server(ctx)) is not None:

        async def read() -> bytes:
            async with far as cluster:
                return await cluster.patch(task_id)

        sys.stdout.buffer.write(run(read()))
        sys.stdout.flush()
        return
    _, found = _changes(ctx, task_id)
    for part in found.kept.patch():
        sys.stdout.buffer.write(part.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


@click.command()
@click.argument("task_id")
@click.option("--review", is_flag=True, help="Show the changes and ask before anything is touched.")
@click.option(
    "--branch", help="Commit to this new branch instead; working tree and remotes stay as they are."
)
@click.option("--message", "-m", help="Message of the commit; without it the task's own words.")
@click.option("--undo", is_flag=True, help="Take the task's changes out of the workspace again.")
@click.pass_context
def apply(
    ctx: click.Context, task_id: str, review: bool, branch: str | None, message: str | None, undo: bool
) -> int:
    """Carry over what a task changed: all of it, or nothing if files were changed meanwhile."""
    if branch is not None and undo:
        raise click.UsageError("--branch and --undo do not go together.")
    if message is not None and branch is None:
        raise click.UsageError("--message is the message of a commit; it goes with --branch.")
    if open_server(ctx) is not None:
        raise click.UsageError(
            f"the server worked on its own copy; `hal9 patch {task_id} | git apply` brings the changes here."
        )
    task, found = _changes(ctx, task_id)
    number = sum(1 for change in found.kept.changes if "folder" not in _kinds(change))
    count = f"{number} changed file{'' if number == 1 else 's'}"
    if review:
        _print_patch("".join(found.kept.patch()))
        where = f"branch {branch}" if branch else found.kept.root
        if not click.confirm(f"{'Take back' if undo else 'Apply'} {count} in {where}?"):
            click.echo("nothing was changed.")
            return 1
    if branch is not None:
        commit = found.commit(branch, message or _message(task))
        click.echo(f"{count} committed to {branch} ({commit[:12]}); nothing was pushed.")
    elif undo:
        found.take_back()
        click.echo(f"{count} taken back in {found.kept.root}.")
    else:
        found.apply()
        click.echo(f"{count} in {found.kept.root}.")
    for path, reason in found.kept.refused.items():
        click.echo(f"left out {path}: {reason}", err=True)
    return 0


def _kinds(change: Any) -> set[str]:
    return {side.kind for side in (change.before, change.after) if side is not None}


def _message(task: "TaskRow") -> str:
    """The task's first line as a subject, its whole text below when that says more."""
    words = " ".join(task.payload.objective.split())
    subject = words if len(words) <= _SUBJECT else f"{words[: _SUBJECT - 1].rsplit(' ', 1)[0]}…"
    body = "" if subject == words else f"\n\n{task.payload.objective.strip()}"
    return f"{subject}{body}\n\nTask: {task.id}"
