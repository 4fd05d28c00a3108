"""Endpoints about what running tasks wait for: approvals of actions, and questions of neurons."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hal9.api.endpoint import Call, Endpoint
from hal9.cluster.client import Cluster
from hal9.database import Connection
from hal9.errors.tools import QuestionAnswered, QuestionUnknown
from hal9.journal.turns import Question, QuestionState, answer_question, find_question, list_questions

__all__ = ["QUESTION_ENDPOINTS", "answer", "questions"]


class QuestionsQuery(BaseModel):
    """Which questions."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[QuestionState, Field(description="Only in this state.")] = "open"


class AnswerIn(BaseModel):
    """A person's words; of an approval they begin with yes or no."""

    model_config = ConfigDict(extra="forbid")

    answer: Annotated[str, Field(min_length=1, max_length=20_000)]


async def questions(cluster: Cluster, *, state: QuestionState = "open") -> list[Question]:
    """Questions in a state, oldest first."""
    return await cluster.read(lambda connection: list_questions(connection, state=state))


async def answer(cluster: Cluster, question_id: str, text: str) -> Question:
    """Answer a question; the task that waits for it goes on.

    Raises:
        QuestionUnknown, QuestionAnswered.
    """
    now = cluster.now()

    def write(connection: Connection) -> tuple[Question | None, bool]:
        done = answer_question(connection, question_id, text, now=now)
        return find_question(connection, question_id), done

    found, done = await cluster.write(write)
    if found is None:
        raise QuestionUnknown(given=question_id, open=tuple(one.id for one in await questions(cluster)))
    if not done:
        raise QuestionAnswered(question=question_id, answer=found.answer or "nobody answered in time")
    return found


async def _list(call: Call) -> list[Question]:
    return await questions(call.services.cluster, state=call.query.state)


async def _answer(call: Call) -> Question:
    return await answer(call.services.cluster, call.path("id"), call.body.answer)


QUESTION_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/v1/questions",
        scope="read",
        handler=_list,
        summary="What running tasks wait for a person to say.",
        tag="people",
        query=QuestionsQuery,
        returns=list[Question],
    ),
    Endpoint(
        method="POST",
        path="/v1/questions/{id}/answer",
        scope="approve",
        handler=_answer,
        summary="Answer a question, or approve an action (an answer that begins with yes).",
        tag="people",
        body=AnswerIn,
        returns=Question,
    ),
)
