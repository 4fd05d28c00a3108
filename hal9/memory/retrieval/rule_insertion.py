"""Where a recalled rule goes in a prompt. Pure functions over any chat-turn type.

Measured on 0.5B and 1.5B models: the rule works best directly before the task, in its own words, and a
verified solved example works best as a chat turn of its own. With nothing recalled, the very same messages
come back.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar

from hal9.errors.memory import MemoryInvalid
from hal9.memory.retrieval.recall import Recall

__all__ = ["ChatTurn", "place", "with_rules"]


class ChatTurn(Protocol):
    """What a message must show."""

    @property
    def role(self) -> str:
        """Who speaks: system, user or assistant."""
        ...

    @property
    def content(self) -> str:
        """What is said."""
        ...


TurnT = TypeVar("TurnT", bound=ChatTurn)
MakeTurn = Callable[[Literal["user", "assistant"], str], TurnT]


def with_rules(task: str, recalled: Sequence[Recall]) -> str:
    """The task with the recalled rules directly before it; the task itself when nothing was recalled."""
    if not recalled:
        return task
    return "\n".join(one.rule for one in recalled) + "\n\n" + task


def place(messages: Sequence[TurnT], recalled: Sequence[Recall], make: MakeTurn[TurnT]) -> tuple[TurnT, ...]:
    """Put recalled rules into a conversation whose last message is the task.

    Args:
        messages: the bare conversation.
        recalled: what `recall_many` gave; empty leaves every message as it is, byte for byte.
        make: builds a message from role and content, for example `hal9.minds.Message`.

    Raises:
        MemoryInvalid: something was recalled and the last message is not the user's.
    """
    if not recalled:
        return tuple(messages)
    if not messages or messages[-1].role != "user":
        raise MemoryInvalid(what="prompt", why="its last message must be the task, from the user")
    turns = list(messages[:-1])
    for one in recalled:
        if one.example is not None:
            turns.append(make("user", one.example.task))
            turns.append(make("assistant", one.example.answer))
    turns.append(make("user", with_rules(messages[-1].content, recalled)))
    return tuple(turns)
