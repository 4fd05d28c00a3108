"""`hal9 ledger`, `diff NEURON`, `rollback`, `approvals`, `approve`, `deny`, `learning …`."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from hal9.cli.common import console, json_option, open_cluster, print_json, run, view
from hal9.cli.learning.feedback import ask_daemon, show_answer
from hal9.cli.learning.report import report

__all__ = ["approvals", "approve", "deny", "learning", "ledger", "prompt_diff", "rollback"]

_KINDS = (
    *("prompt", "parameter", "model", "rule", "pattern", "switch", "state", "prompt_set"),
    *("import", "weights", "rollback", "rule_scope", "guard"),
)


@click.command()
@click.option("--neuron", help="Only changes of this neuron.")
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help=f"Only {', '.join(_KINDS)}; may be repeated."
)
@click.option("--limit", "-n", default=30, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def ledger(ctx: click.Context, neuron: str | None, kinds: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show every change of what was learned, newest last."""
    unknown = sorted({*kinds} - {*_KINDS, "mitigation"})
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of: {', '.join(_KINDS)}", param_hint="--kind")
    rows = view(ctx, "ledger", kinds=",".join(kinds), neuron=neuron, limit=limit)
    if as_json:
        print_json(rows)
    elif rows:
        from hal9.cli.learning.render_learning import ledger_lines

        for line in ledger_lines(rows):
            console().print(line)
    else:
        click.echo("nothing was changed yet.")


def prompt_diff(ctx: click.Context, neuron: str, first: str, second: str, *, as_json: bool) -> None:
    """Print how two versions of a neuron's prompt differ."""
    found = view(ctx, "prompt-diff", neuron=neuron, first=first, second=second)
    text = found["diff"]
    if as_json:
        print_json(found)
    elif text:
        from rich.syntax import Syntax

        console().print(Syntax(text.rstrip(), "diff", background_color="default"))
        click.echo(f"{found['share']:.1%} of the tokens differ")
    else:
        click.echo("no difference")


@click.command()
@click.argument("change", required=False)
@click.option(
    "--to",
    "moment",
    help="A task (its learned state when it began), or a time: 2026-11-20T14:00, or seconds.",
)
@json_option
@click.pass_context
def rollback(ctx: click.Context, change: str | None, moment: str | None, as_json: bool) -> int:
    """Undo one CHANGE of the ledger, or (--to) everything since a task or a time."""
    if (change is None) == (moment is None):
        raise click.UsageError("name one CHANGE, or give --to.")
    if change is not None:
        body: dict[str, Any] = {"change": change}
    else:
        body = {"moment": run(_moment(ctx, moment or ""))}
    return show_answer(run(ask_daemon(ctx, "rollback", body)), as_json=as_json)


async def _moment(ctx: click.Context, text: str) -> float:
    """Seconds since the epoch for a time or a task."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        async with open_cluster(ctx) as cluster:
            return (await cluster.task(text)).created_at


@click.command()
@json_option
@click.pass_context
def approvals(ctx: click.Context, as_json: bool) -> None:
    """Show what waits for a person: questions, actions that need a yes, changes of what was learned."""
    from hal9.cli.persons import open_questions

    questions = open_questions(ctx)
    rows = view(ctx, "approvals")
    if as_json:
        asked = [{"type": "question", **asdict(question)} for question in questions]
        print_json([*asked, *rows])
        return
    if not rows and not questions:
        click.echo("nothing waits for approval.")
    from hal9.cli.learning.render_learning import approval_panel
    from hal9.cli.render_turns import question_panel

    for question in questions:
        console().print(question_panel(question))
    for change in rows:
        console().print(approval_panel(change))


@click.command()
@click.argument("change")
@click.option("--hash", "shown", help="The content hash you looked at (default: the one that waits now).")
@json_option
@click.pass_context
def approve(ctx: click.Context, change: str, shown: str | None, as_json: bool) -> int:
    """Approve a change that waits; it still has to pass the gate."""
    found = view(ctx, "change", id=change)
    if shown is not None and not found["hash"].startswith(shown):
        from hal9.errors.learning import ApprovalStale

        raise ApprovalStale(change=found["id"], shown=shown, found=found["hash"])
    body = {"change": found["id"], "hash": found["hash"]}
    return show_answer(run(ask_daemon(ctx, "approve", body)), as_json=as_json)


@click.command()
@click.argument("change")
@click.argument("why", required=False, default="")
@json_option
@click.pass_context
def deny(ctx: click.Context, change: str, why: str, as_json: bool) -> int:
    """Refuse a change that waits."""
    return show_answer(run(ask_daemon(ctx, "deny", {"change": change, "why": why})), as_json=as_json)


@click.group()
def learning() -> None:
    """See, stop and steer learning."""


@learning.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show whether the cluster learns, what it has learned, what is being tried, and what worries it."""
    found = view(ctx, "learning")
    if as_json:
        print_json(found)
        return
    from hal9.cli.learning.render_learning import status_lines

    for line in status_lines(found):
        console().print(line)


@learning.command()
@json_option
@click.pass_context
def pause(ctx: click.Context, as_json: bool) -> int:
    """Stop all learning at once; what was learned stays in use."""
    return show_answer(run(ask_daemon(ctx, "pause", {})), as_json=as_json)


@learning.command()
@json_option
@click.pass_context
def resume(ctx: click.Context, as_json: bool) -> int:
    """Learn again."""
    return show_answer(run(ask_daemon(ctx, "resume", {})), as_json=as_json)


@learning.command()
@click.argument("neuron")
@click.option("--undo", is_flag=True, help="Let it learn again.")
@json_option
@click.pass_context
def freeze(ctx: click.Context, neuron: str, undo: bool, as_json: bool) -> int:
    """Let one neuron learn nothing any more."""
    kind = "unfreeze" if undo else "freeze"
    return show_answer(run(ask_daemon(ctx, kind, {"neuron": neuron})), as_json=as_json)


learning.add_command(report)
