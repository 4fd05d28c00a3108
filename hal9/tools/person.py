"""Questions to a person that outlast the process: a row in the journal, waited for until its time is up."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from hal9.clock import Clock
from hal9.database import Connection
from hal9.journal import Journal, turns
from hal9.journal.turns import Question
from hal9.signals import new_id
from hal9.tools.action import Action, ActionContext

__all__ = ["JournalPerson", "Said", "is_yes"]

_POLL_SECONDS = 0.25
_YES = frozenset(
    {"yes", "y", "ok", "okay", "allow", "approve", "approved", "ja", "oui", "sí", "si", "да", "是"}
)
_SHOWN = 4000


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a question."""

    text: str | None
    approves: bool = False
    stops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPerson:
    """Asks through the journal's table of questions; `hal9 answer` and the API answer there.

    Attributes:
        wait_seconds: how long a question waits.
        unanswered: what then happens with a question of the neuron's own.
        stopping: set when the node shuts down; the question stays, the wait ends as if it were cancelled.
        paused: a context in which the turn's time does not run.
        progress: tells who watches.
    """

    journal: Journal
    clock: Clock
    wait_seconds: float
    unanswered: Literal["continue", "stop"]
    stopping: asyncio.Event
    paused: Callable[[], AbstractAsyncContextManager[None]]
    progress: Callable[[str, dict[str, object]], None]

    async def approve(self, action: Action, context: ActionContext, *, label: str, reason: str) -> Said:
        detail = {
            "kind": action.kind,
            "tool": action.tool,
            "text": action.text[:_SHOWN],
            "paths": list(action.paths),
            "programs": list(action.programs),
        }
        answered = await self._wait("approval", reason, detail, context, label)
        text = answered.answer if answered.state == "answered" else None
        return Said(text, approves=text is not None and is_yes(text), stops=self.unanswered == "stop")

    async def ask(self, question: str, context: ActionContext, *, label: str) -> Said:
        answered = await self._wait("question", question, {}, context, label)
        text = answered.answer if answered.state == "answered" else None
        return Said(text, stops=self.unanswered == "stop")

    async def _wait(
        self,
        kind: Literal["approval", "question"],
        text: str,
        detail: dict[str, Any],
        context: ActionContext,
        label: str,
    ) -> Question:
        now = self.clock.now()
        fresh = Question(
            id=new_id(now=now)[-12:],
            task_id=context.task_id,
            signal_id=context.signal_id,
            label=label,
            neuron=context.neuron,
            kind=kind,
            text=text,
            detail=detail,
            asked_at=now,
            expires_at=now + self.wait_seconds,
        )
        async with self.paused():
            asked = await self.journal.write(lambda connection: turns.add_question(connection, fresh))
            self.progress("waiting", {"for": kind, "question": asked.id, "text": text[:200]})
            while asked.state == "open":
                if self.stopping.is_set():
                    raise asyncio.CancelledError
                if self.clock.now() >= asked.expires_at:
                    now = self.clock.now()
                    await self.journal.write(partial(_expire, question_id=asked.id, now=now))
                else:
                    await self.clock.sleep(_POLL_SECONDS)
                asked = self.journal.read_now(partial(_find, question_id=asked.id)) or asked
        return asked


def _expire(connection: Connection, *, question_id: str, now: float) -> bool:
    return turns.expire_question(connection, question_id, now=now)


def _find(connection: Connection, *, question_id: str) -> Question | None:
    return turns.find_question(connection, question_id)


def is_yes(answer: str) -> bool:
    """Whether an answer to an approval is a yes: its first word is one."""
    words = answer.strip().lower().replace(",", " ").replace(".", " ").replace("!", " ").split()
    return bool(words) and words[0] in _YES
