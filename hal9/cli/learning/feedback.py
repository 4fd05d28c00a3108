"""`hal9 feedback` and `hal9 why`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hal9.cli.common import console, json_option, open_cluster, print_json, run, view

if TYPE_CHECKING:
    from hal9.api.remote import RemoteCluster

__all__ = ["feedback", "why"]

_PATIENCE_SECONDS = 120.0


async def ask_daemon(
    ctx: click.Context, kind: str, body: dict[str, Any], *, task_id: str | None = None
) -> dict[str, Any] | None:
    """Put a request to the daemon and wait for its answer; None when it is down (the request stays)."""
    async with open_cluster(ctx) as cluster:
        from hal9.cluster.client import Cluster

        if not isinstance(cluster, Cluster):
            return await _ask_server(cluster, kind, body, task_id)
        full = await cluster.resolve(task_id) if task_id is not None else None
        number = await cluster.request(kind, body, task_id=full)
        status = await cluster.status()
        if status.get("state") not in ("ready", "starting"):
            return None
        answer: dict[str, Any] = json.loads(await cluster.answer(number, timeout_seconds=_PATIENCE_SECONDS))
        return answer


async def _ask_server(
    cluster: "RemoteCluster", kind: str, body: dict[str, Any], task_id: str | None
) -> dict[str, Any] | None:
    from hal9.api.routes.learning import REQUEST_PATHS

    path = REQUEST_PATHS.get(kind) or f"/v1/tasks/{await cluster.resolve(task_id or '')}/{kind}"
    answer = await cluster.ask(path, body)
    return None if answer.pop("queued") else answer


def show_answer(answer: dict[str, Any] | None, *, as_json: bool) -> int:
    """Print what the daemon answered; the exit code."""
    if answer is None:
        queued = "The cluster is down; this is kept and done at the next `hal9 up`."
        if as_json:
            print_json({"queued": True})
        else:
            click.echo(queued)
        return 0
    if as_json:
        print_json(answer)
    elif "error" in answer:
        click.echo(f"hal9: {answer['error']}", err=True)
    else:
        for line in answer.get("said", []):
            click.echo(line)
    return 1 if "error" in answer else 0


@click.command()
@click.argument("task_id")
@click.option("--accept", "verdict", flag_value="accept", help="The answer is right.")
@click.option(
    "--reject", "why_not", metavar="WHY", help="The answer is wrong; WHY is taken literally as a rule."
)
@click.option("--score", type=click.FloatRange(0, 1), help="How good it is, 0 to 1.")
@click.option(
    "--expected",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the right answer.",
)
@click.option("--note", default="", help="A rule for next time, in your words.")
@click.option(
    "--for", "holds_for", default="", help="Where the rule holds: project, folder, file, a path, a glob."
)
@json_option
@click.pass_context
def feedback(
    ctx: click.Context,
    /,
    task_id: str,
    verdict: str | None,
    why_not: str | None,
    expected: Path | None,
    as_json: bool,
    **rest: Any,
) -> int:
    """Say what you think of a task's answer; the cluster learns from it.

    TASK_ID is an id, its beginning, its end, or "last".
    """
    body: dict[str, Any] = {"note": rest["note"], "holds_for": rest["holds_for"]}
    if verdict is not None and why_not is not None:
        raise click.UsageError("--accept and --reject exclude each other.")
    if verdict is not None:
        body["verdict"] = verdict
    if why_not is not None:
        body |= {"verdict": "reject", "why": why_not}
    if rest["score"] is not None:
        body["score"] = rest["score"]
    if expected is not None:
        try:
            body["expected"] = expected.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise click.BadParameter(f"{expected} is not UTF-8 text", param_hint="--expected") from error
    return show_answer(run(ask_daemon(ctx, "feedback", body, task_id=task_id)), as_json=as_json)


@click.command()
@click.argument("task_id")
@json_option
@click.pass_context
def why(ctx: click.Context, task_id: str, as_json: bool) -> None:
    """Show why a task's answer came out so, and what was learned from it."""
    found = view(ctx, "why", id=task_id)
    if as_json:
        print_json(found)
        return
    from hal9.cli.learning.render_learning import why_tree

    console().print(why_tree(found))
