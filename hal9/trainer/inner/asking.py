"""Asking a mind in such a way that a cancelled run does not wait for the answer."""

import asyncio
from collections.abc import Callable

from hal9.errors.base import Hal9Error
from hal9.errors.budgets import PriceUnknown
from hal9.errors.minds import AgentMissing, MindRefusedKey, ModelMissing, RuntimeMissing
from hal9.minds.protocol import Mind, Reply, Request

__all__ = ["HOPELESS", "Stopped", "think_unless"]

_LOOK_SECONDS = 0.25
HOPELESS = (AgentMissing, MindRefusedKey, ModelMissing, PriceUnknown, RuntimeMissing)
"""Errors that no further question will be spared: a mistake in what was asked for, and no end of a run."""


class Stopped(Exception):
    """The run was cancelled while a mind was thinking."""


async def think_unless(mind: Mind, request: Request, stop: Callable[[], bool]) -> Reply:
    """The mind's reply.

    Args:
        mind: asked.
        request: what it is asked.
        stop: looked at while it thinks; True gives the question up.

    Raises:
        Stopped: the question was given up.
        MindError, LimitError: see `Mind.think`.
    """
    failed: list[Hal9Error] = []

    async def ask() -> Reply | None:
        try:
            return await mind.think(request)
        except Hal9Error as error:
            # Out of the group it would come wrapped.
            failed.append(error)
            return None

    async with asyncio.TaskGroup() as group:
        thinking = group.create_task(ask(), name="a mind thinks")
        while not thinking.done():
            await asyncio.wait({thinking}, timeout=_LOOK_SECONDS)
            if not thinking.done() and stop():
                thinking.cancel()
                break
    if failed:
        raise failed[0]
    reply = None if thinking.cancelled() else thinking.result()
    if reply is None:
        raise Stopped
    return reply
