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
    `grammar` (GBNF) constrains a local model's text instead; minds that cannot do so refuse it.
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
    grammar: str | None = None

    def __post_init__(self) -> None:
        """Refuse two constraints at once.

        Raises:
            ValueError: both `schema` and `grammar` are given.
        """
        if self.schema is not None and self.grammar is not None:
            raise ValueError("a request has a schema or a grammar, not both")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost. `usd` is None when the provider's price is unknown.

    `estimated` says that the provider reported no token counts, so these are upper bounds of our own.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    calls: int = 1
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        """The cost of both; the price is unknown when either one's is."""
        known = self.usd is not None and other.usd is not None
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            usd=(self.usd or 0.0) + (other.usd or 0.0) if known else None,
            seconds=self.seconds + other.seconds,
            calls=self.calls + other.calls,
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mind answered. `notes` names what was corrected in `parsed`, such as a clamped number."""

    text: str
    mind: str
    usage: Usage
    parsed: Any = None
    stop_reason: Literal["stop", "length", "other"] = "stop"
    notes: tuple[str, ...] = ()


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
