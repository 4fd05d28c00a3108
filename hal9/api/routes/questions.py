"""Endpoints about what running tasks wait for: approvals of actions, and questions of neurons."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hal9.api.endpoint import Call, Endpoint
from hal9.cluster.client import Cluster
from hal9.journal.turns import Question, QuestionState

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
    return await cluster.questions(state=state)


async def answer(cluster: Cluster, question_id: str, text: str) -> Question:
    """Answer a question; the task that waits for it goes on.

    Raises:
        QuestionUnknown, QuestionAnswered.
    """
    question = await cluster.question(question_id)
    await cluster.answer_question(question.id, text)
    return await cluster.question(question.id)


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
