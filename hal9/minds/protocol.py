"""The seam to language models: what is asked, what comes back, and the `Mind` that does it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

__all__ = ["Message", "Mind", "OnToken", "Reply", "Request", "Usage"]

OnToken = Callable[[str], None]
"""Called with each piece of text as it is generated."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a mind.

    `schema` is a JSON schema: the reply is constrained to it where the provider can, always validated
    client-side and repaired within `repairs` further attempts, and delivered as `Reply.parsed`.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    temperature: float = 0.3
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout_seconds: float = 120.0
    repairs: int = 2
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost. `usd` is None when the provider's price is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mind answered."""

    text: str
    mind: str
    usage: Usage
    parsed: Any = None
    stop_reason: Literal["stop", "length", "other"] = "stop"


class Mind(Protocol):
    """A language model. Open it with `async with`; `think` may be called concurrently."""

    @property
    def name(self) -> str:
        """Provider and model, e.g. ``local:qwen2.5-coder-0.5b``."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Answer the request.

        Raises:
            MindError: a typed subclass that names its remedy.
        """
        ...
