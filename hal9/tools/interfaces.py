"""What tools and their loop need of the other rooms, as small protocols."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from hal9.minds.protocol import Message, Reply, ToolSpec
from hal9.signals import StepRecord
from hal9.tools.action import Action, ActionContext
from hal9.tools.observation import Observation

__all__ = ["FinishCall", "MapCall", "Person", "PersonalAnswer", "StepMaker", "ThinkCall"]

MapCall = Callable[[Path, str, int], Awaitable[str]]
"""(folder, question, tokens) -> the ranked map of the folder for the question, or empty."""

FinishCall = Callable[[str, str], Awaitable[Observation]]
"""(answer, what was verified) -> an observation that `ends` the turn, or says what is missing."""


class ThinkCall(Protocol):
    """Asks the mind for the next step."""

    async def __call__(
        self,
        messages: tuple[Message, ...],
        tools: tuple[ToolSpec, ...],
        *,
        position: int,
        must_call: bool = False,
    ) -> Reply:
        """The reply; `position` is where it will stand in the log, and makes the call's id.

        With `must_call` a tool has to be called: words alone were said before.

        Raises:
            TurnFailed and the like: the turn ends, its log stays.
        """
        ...


class StepMaker(Protocol):
    """Makes the step record of something that began at `started` and has just ended."""

    def __call__(self, kind: str, started: float, **details: Any) -> StepRecord:
        """The record; it is also added to what the turn has done."""
        ...


class PersonalAnswer(Protocol):
    """What a person said, or that nobody did."""

    @property
    def text(self) -> str | None:
        """Their words; None when nobody answered in time."""
        ...

    @property
    def approves(self) -> bool:
        """A yes to an action."""
        ...

    @property
    def stops(self) -> bool:
        """Nobody answered, and the turn is to end for that."""
        ...


class Person(Protocol):
    """Somebody who can be asked; the wait lasts over restarts."""

    async def approve(
        self, action: Action, context: ActionContext, *, label: str, reason: str
    ) -> PersonalAnswer:
        """Ask for a yes to an action."""
        ...

    async def ask(self, question: str, context: ActionContext, *, label: str) -> PersonalAnswer:
        """Ask the neuron's own question."""
        ...
