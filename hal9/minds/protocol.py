"""Language models behind one protocol: what is asked, what comes back, and the `Mind` that does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

__all__ = [
    "ActKind",
    "AgentAct",
    "Capabilities",
    "Message",
    "Mind",
    "OnToken",
    "Reply",
    "Request",
    "StopReason",
    "ToolCall",
    "ToolSpec",
    "Usage",
    "Workplace",
]

OnToken = Callable[[str], None]
"""Called with each piece of text as it is generated."""

StopReason = Literal["stop", "length", "tool_calls", "other"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool a mind may call. `schema` is the JSON schema of its arguments, an object."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a mind asks for.

    `id` is unique within a conversation; the message with the result bears it as `tool_call_id`. `problem`
    says why the call cannot be carried out as it is (an unknown tool, arguments that are no JSON or do not
    fit the tool's schema), in words for the mind; it is empty for a good call. `raw` is the text of arguments
    that could not be read.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    problem: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a mind can do by itself; `open_mind` adds the rest.

    Attributes:
        tools: how tool calls are made: the provider's own (``native``), JSON that decoding is constrained to
            (``constrained``), or JSON and fenced commands read out of free text (``text``).
        parallel_tools: whether one reply may hold several calls.
        acts: the mind works in a folder by itself, with tools of its own.
        announces: `Request.before_sending` is called just before a call leaves; otherwise a call that was
            begun may have left at any time.
    """

    tools: Literal["native", "constrained", "text"] = "text"
    parallel_tools: bool = False
    acts: bool = False
    announces: bool = False


ActKind = Literal["command", "edit", "read", "tool", "words"]


@dataclass(frozen=True, slots=True)
class AgentAct:
    """One thing a mind that acts has done by itself, as it tells it.

    Attributes:
        kind: what sort of thing; ``words`` for what it said in between.
        name: the agent's own name of the tool.
        arguments: what the tool was given.
        outcome: what came back, or what was said.
        ok: whether it succeeded; None where the agent does not tell.
    """

    kind: ActKind
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    ok: bool | None = None


class Workplace(Protocol):
    """Where a mind that acts may work: a copy of a workspace, which is judged and carried over afterwards."""

    @property
    def folder(self) -> Path:
        """The working folder."""
        ...

    @property
    def confined(self) -> bool:
        """Whether `confine` keeps a program apart from everything else."""
        ...

    async def confine(
        self, argv: Sequence[str], *, readable: Sequence[Path], writable: Sequence[Path]
    ) -> list[str]:
        """The command line that runs a program in the sandbox, with the network and these places besides."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn.

    `tool_calls` and `echo` belong to an assistant's turn, as its `Reply` had them; `tool_call_id` names the
    call a turn of role "tool" answers. `echo` is what the provider wants back unchanged (reasoning items,
    thought signatures); it is JSON, and only the mind that made it reads it.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    echo: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a mind.

    `schema` is a JSON schema: the reply is constrained to it where the provider can, always validated
    client-side and repaired within `repairs` further attempts, and delivered as `Reply.parsed`.
    `grammar` (GBNF) constrains a local model's text instead; minds that cannot do so refuse it.
    `tools` may be called; `tool_choice` is "auto", "required", "none", or the name of the one tool to call.
    `reuse_prompt` false computes the prompt anew where the provider keeps a cache: with a warm cache the same
    seed gives another text, so what is compared in pairs runs without.
    `workplace` is where a mind that acts works; others do not look at it.
    `before_sending` is called by minds that announce (see `Capabilities`) just before the call leaves.
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
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    reuse_prompt: bool = True
    workplace: Workplace | None = None
    before_sending: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: two of `schema`, `grammar` and `tools` are given, two tools have one name, or
                `tool_choice` names none of the tools.
        """
        given = [self.schema is not None, self.grammar is not None, bool(self.tools)]
        if sum(given) > 1:
            raise ValueError("a request has a schema, a grammar or tools, not both")
        names = [tool.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError(f"two tools of a request have one name: {', '.join(names)}")
        if self.tool_choice not in {"auto", "required", "none", *names}:
            raise ValueError(f"tool_choice {self.tool_choice!r} is none of the tools: {', '.join(names)}")


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
    """What a mind answered.

    `notes` names what was corrected in `parsed`, such as a clamped number, and what the provider did not
    take. `thinking` is what the model wrote for itself; it is never part of `text`. `echo` goes back with the
    turn (see `Message`). `acts` is what a mind that acts did before it answered.
    """

    text: str
    mind: str
    usage: Usage
    parsed: Any = None
    stop_reason: StopReason = "stop"
    notes: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    echo: dict[str, Any] | None = None
    thinking: str = ""
    acts: tuple[AgentAct, ...] = ()

    def as_message(self) -> Message:
        """This reply as the assistant's turn of the conversation that goes on."""
        return Message("assistant", self.text, tool_calls=self.tool_calls, echo=self.echo)


class Mind(Protocol):
    """A language model. Open it with `async with`; `think` may be called concurrently."""

    @property
    def name(self) -> str:
        """Provider and model, e.g. ``local:qwen2.5-coder-0.5b``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as is known now; a server's refusal may lower it later."""
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
