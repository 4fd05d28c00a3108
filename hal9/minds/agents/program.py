"""What is common to command-line agents: how one is described, and what it printed."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal9.minds.prices import Price
from hal9.minds.protocol import AgentAct
from hal9.text import split_lines, without_surrogates

__all__ = ["Agent", "AgentSaid", "AgentSettings", "Answer", "Call", "added", "events_in", "plain_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How command-line agents are run.

    Attributes:
        model: passed to the agent's ``--model``; empty for the agent's own default.
        folder: the agent's working directory; None for a fresh empty one for each call.
        usd_per_call: the most one call may cost; agents that know such a cap (claude) are given it. An agent
            that tells its tokens but no cost, and has no price, is charged this much for each call.
        price: of the agent's tokens; goes before what the agent tells, so a price of 0 is a subscription. One
            of the two is needed when a usd budget is set, because agents quote no price.
        tokens_per_call: what a call that acts in a workspace is reserved at.
        variables: names of environment variables it gets besides its provider's own, such as the one that its
            configuration names for a key.
        environment: searched for the executable (PATH); what the agent needs of it is handed on.
    """

    model: str = ""
    folder: Path | None = None
    usd_per_call: float | None = None
    price: Price | None = None
    tokens_per_call: int = 60_000
    variables: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True, slots=True)
class Call:
    """How an agent is about to be called: whether it may act, and whether a sandbox of ours is around it."""

    settings: AgentSettings
    acts: bool = False
    confined: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent printed."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    usd: float | None = None
    acts: tuple[AgentAct, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent: how it is called and how its output is read.

    Attributes:
        name: of the mind and of the executable.
        arguments: the command line for a call.
        read: its output; raises ValueError or KeyError for what it does not know and `AgentSaid` for an error
            the agent tells of.
        passed: beginnings of the environment variables it needs besides the usual ones.
        homes: files and folders with its settings and its login, relative to the home folder.
        variables: what is set for it; the second is set only inside our sandbox.
        home_variable: the variable that moves its folder.
    """

    name: str
    arguments: Callable[[Call], Sequence[str]]
    read: Callable[[str], Answer]
    passed: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    confined_variables: Mapping[str, str] = field(default_factory=dict)
    home_variable: str = ""


class AgentSaid(Exception):
    """The agent ran, and reports that it failed; `answer` is what it had done and cost by then."""

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


def events_in(output: str) -> list[dict[str, Any]]:
    """The JSON objects an agent printed: one, an array of them, or one a line between other lines.

    Raises:
        ValueError: there is none.
    """
    whole = output.strip()
    try:
        value = json.loads(whole)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    found = []
    for line in split_lines(output):
        if line.lstrip().startswith("{"):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line of its own log that begins with a brace
            if isinstance(event, dict):
                found.append(event)
    if not found:
        raise ValueError("it printed no JSON")
    return found


def plain_text(content: Any) -> str:
    """The text of a tool's result, which is a string or a list of parts."""
    if isinstance(content, str):
        return without_surrogates(content)
    if isinstance(content, list):
        parts = (part.get("text", "") if isinstance(part, dict) else part for part in content)
        return "\n".join(plain_text(part) for part in parts)
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def added(counts: Iterable[Mapping[str, Any]], *keys: str) -> int | None:
    """The sum of counts; None when there is none at all."""
    found = [
        int(count[key])
        for count in counts
        for key in keys
        if isinstance(count.get(key), (int, float)) and count[key] >= 0
    ]
    return sum(found) if found else None
