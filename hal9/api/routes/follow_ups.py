"""Endpoints about a task that is over: go on with it, do it again, read what its turns said step by step."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hal9.api.endpoint import Call, Endpoint
from hal9.api.models import TaskView
from hal9.api.routes.tasks import KEY_HEADER, accepted, claimed
from hal9.errors.api import ScopeMissing
from hal9.journal.turns import TurnEntry

__all__ = ["FOLLOW_UP_ENDPOINTS"]


class ReplyIn(BaseModel):
    """What a person says to a task that is over."""

    model_config = ConfigDict(extra="forbid")

    words: Annotated[str, Field(min_length=1, max_length=100_000, description="What is to be done next.")]


class RetryIn(BaseModel):
    """Why a task is to be done again."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str, Field(max_length=20_000, description="What was wrong; it is learned from (scope feedback).")
    ] = ""


async def _reply(call: Call) -> Response:
    cluster = call.services.cluster
    old = await cluster.task(call.path("id"))
    call.services.check_reuse(old.payload.workspace, token=call.token)
    task_id, known = await claimed(call)
    if not known:
        await cluster.reply(old.id, call.body.words, new_id=task_id)
    return await accepted(call, task_id, known=known)


async def _retry(call: Call) -> Response:
    cluster, reason = call.services.cluster, call.body.reason
    if reason.strip() and not call.token.allows("feedback"):
        raise ScopeMissing(scope="feedback")
    old = await cluster.task(call.path("id"))
    call.services.check_reuse(old.payload.workspace, token=call.token)
    task_id, known = await claimed(call)
    if not known:
        await cluster.retry(old.id, reason, new_id=task_id)
    return await accepted(call, task_id, known=known)


async def _turns(call: Call) -> list[TurnEntry]:
    return await call.services.cluster.turn_entries(call.path("id"))


FOLLOW_UP_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/tasks/{id}/reply",
        scope="submit",
        handler=_reply,
        summary="Go on with a task that is over, as a new task that knows what was done and said.",
        tag="tasks",
        body=ReplyIn,
        returns=TaskView,
        status=201,
        headers=KEY_HEADER,
    ),
    Endpoint(
        method="POST",
        path="/v1/tasks/{id}/retry",
        scope="submit",
        handler=_retry,
        summary="Do a task again, as a new task; a reason is learned from.",
        tag="tasks",
        body=RetryIn,
        returns=TaskView,
        status=201,
        headers=KEY_HEADER,
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks/{id}/turns",
        scope="read",
        handler=_turns,
        summary="The logs of its turns that went step by step: all that was said, done and seen.",
        tag="tasks",
        returns=list[TurnEntry],
    ),
)
