"""`hal9 answer`, `reply`, `retry`: what a person says to a task that waits, or that is over."""

from typing import TYPE_CHECKING

import click

from hal9.cli.common import json_option, open_cluster, print_json, run

if TYPE_CHECKING:
    from hal9.journal.turns import Question

__all__ = ["answer", "open_questions", "reply", "retry"]


def open_questions(ctx: click.Context) -> "list[Question]":
    """What waits for a person, oldest first."""

    async def read() -> "list[Question]":
        async with open_cluster(ctx) as cluster:
            return await cluster.questions()

    return run(read())


@click.command()
@click.argument("question")
@click.argument("words", nargs=-1, required=True)
@click.pass_context
def answer(ctx: click.Context, question: str, words: tuple[str, ...]) -> None:
    """Answer a question of a neuron, or say yes or no to an action that waits.

    QUESTION is its id as `hal9 approvals` shows it (or the beginning or end of it). An approval is given by
    an answer that begins with "yes"; whatever follows a "no" is told to the neuron.
    """
    text = " ".join(words)

    async def go() -> str:
        async with open_cluster(ctx) as cluster:
            return await cluster.answer_question(question, text)

    click.echo(f"answered; task {run(go())[-12:]} goes on.")


@click.command()
@click.argument("task_id")
@click.argument("words", nargs=-1, required=True)
@json_option
@click.pass_context
def reply(ctx: click.Context, task_id: str, words: tuple[str, ...], as_json: bool) -> None:
    """Go on with a task that is over: same workspace, what was done and said before is known."""
    _follow(ctx, task_id, " ".join(words), anew=False, as_json=as_json)


@click.command()
@click.argument("task_id")
@click.argument("reason", nargs=-1)
@json_option
@click.pass_context
def retry(ctx: click.Context, task_id: str, reason: tuple[str, ...], as_json: bool) -> None:
    """Do a task again; REASON says what was wrong with its result, and is learned from."""
    _follow(ctx, task_id, " ".join(reason), anew=True, as_json=as_json)


def _follow(ctx: click.Context, task_id: str, words: str, *, anew: bool, as_json: bool) -> None:
    async def go() -> str:
        async with open_cluster(ctx) as cluster:
            follow = cluster.retry if anew else cluster.reply
            return await follow(task_id, words)

    new = run(go())
    if as_json:
        print_json({"id": new})
    else:
        click.echo(f"{new}\n`hal9 watch {new[-12:]}` follows it.")
