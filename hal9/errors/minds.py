"""Errors of minds."""

from dataclasses import dataclass
from typing import Any, Literal

from hal9.errors.base import MindError, install_hint

__all__ = [
    "AgentFailed",
    "AgentMissing",
    "GrammarUnsupported",
    "LocalMemoryShort",
    "LocalStartFailed",
    "MindBroken",
    "MindClosed",
    "MindContextExceeded",
    "MindDeclined",
    "MindRateLimited",
    "MindRefusedKey",
    "MindRefusedRequest",
    "MindReplyInvalid",
    "MindTimeout",
    "MindUnreachable",
    "ModelDamaged",
    "ModelDiskFull",
    "ModelMissing",
    "ModelUnavailable",
    "ModelUnknown",
    "RecordingDamaged",
    "ReplayMiss",
    "RuntimeMissing",
    "ScriptExhausted",
    "ToolsUnsupported",
    "UnknownMind",
]


@dataclass(eq=False, kw_only=True)
class UnknownMind(MindError):
    """A mind's spec string names nothing that exists."""

    spec: str
    why: str
    nearest: tuple[str, ...] = ()
    exit_code = 3

    def message(self) -> str:
        hint = f" Nearest: {', '.join(self.nearest)}." if self.nearest else ""
        return f"no mind can be opened from {self.spec!r}: {self.why}.{hint}"


@dataclass(eq=False, kw_only=True)
class MindUnreachable(MindError):
    """Nobody answered: connection refused, reset, or the server process died."""

    mind: str
    detail: str
    remedy: str = "Check that the server runs and that its address is right."

    def message(self) -> str:
        return f"{self.mind} cannot be reached: {self.detail}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class MindBroken(MindError):
    """The provider answered with a server error (5xx), or broke off.

    `computed` is False when it certainly did not work on the request (503 and the like); `usage` is what it
    says the call cost.
    """

    mind: str
    status: int
    detail: str
    retry_after: float | None = None
    computed: bool = True
    usage: Any = None

    def message(self) -> str:
        return (
            f"{self.mind} failed with status {self.status}: {self.detail}. "
            "The fault is the provider's; try again later or choose another model."
        )


@dataclass(eq=False, kw_only=True)
class MindDeclined(MindError):
    """The model, or a filter of its provider, refuses to answer; `text` is what was said or written so far."""

    mind: str
    reason: str
    text: str
    usage: Any = None

    def message(self) -> str:
        shown = self.text if len(self.text) <= 300 else self.text[:300] + "…"
        said = f" It said: {shown!r}." if shown.strip() else ""
        return f"{self.mind} declined the request ({self.reason}).{said} Reword the task or choose another model."


@dataclass(eq=False, kw_only=True)
class MindRateLimited(MindError):
    """The provider refuses more calls for now (429)."""

    mind: str
    detail: str
    retry_after: float | None = None

    def message(self) -> str:
        wait = f" It asks to wait {self.retry_after:.0f} s." if self.retry_after is not None else ""
        return (
            f"{self.mind} limits the rate of calls: {self.detail}.{wait} Send fewer calls or raise the quota."
        )


@dataclass(eq=False, kw_only=True)
class MindTimeout(MindError):
    """No complete answer within the request's time."""

    mind: str
    seconds: float

    def message(self) -> str:
        return (
            f"{self.mind} gave no complete answer within {self.seconds:g} s. "
            "Raise the timeout, lower max_tokens, or choose a faster model."
        )


@dataclass(eq=False, kw_only=True)
class MindRefusedKey(MindError):
    """The provider does not accept the key, or there is none (401, 403)."""

    mind: str
    detail: str
    variable: str

    def message(self) -> str:
        return f"{self.mind} refused the key: {self.detail}. Set a valid key in {self.variable}."


@dataclass(eq=False, kw_only=True)
class MindRefusedRequest(MindError):
    """The provider says that the request itself is wrong (other 4xx); repeating it is useless."""

    mind: str
    status: int
    detail: str

    def message(self) -> str:
        return (
            f"{self.mind} refused the request with status {self.status}: {self.detail}. Change the request."
        )


@dataclass(eq=False, kw_only=True)
class GrammarUnsupported(MindError):
    """A request with a grammar went to a mind that cannot follow one."""

    mind: str

    def message(self) -> str:
        return f"{self.mind} cannot follow a grammar; only local models can. Use a JSON schema instead."


@dataclass(eq=False, kw_only=True)
class ToolsUnsupported(MindError):
    """A provider has no tool calls of its own; `instead` is how it can be asked for them."""

    mind: str
    detail: str
    instead: Literal["constrained", "text"] = "text"

    def message(self) -> str:
        return (
            f"{self.mind} takes no tools: {self.detail}. Open it with `open_mind`, which asks for calls in words, "
            "or choose a model that calls tools."
        )


@dataclass(eq=False, kw_only=True)
class MindContextExceeded(MindError):
    """The prompt does not fit into the model's context."""

    mind: str
    prompt_tokens: int | None
    context_tokens: int | None

    def message(self) -> str:
        asked = f"{self.prompt_tokens} tokens" if self.prompt_tokens is not None else "the prompt"
        room = f" of {self.context_tokens}" if self.context_tokens is not None else ""
        return f"{self.mind}: {asked} exceed the context{room}. Shorten the prompt or raise the context."


@dataclass(eq=False, kw_only=True)
class MindReplyInvalid(MindError):
    """The reply is not what was asked for, even after the allowed repairs; `text` is the raw reply.

    `usage` is what all attempts cost.
    """

    mind: str
    reason: str
    text: str
    attempts: int = 1
    usage: Any = None

    def message(self) -> str:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        return (
            f"{self.mind} gave no valid reply in {self.attempts} attempt(s): {self.reason}. "
            f"The reply began {shown!r}. Simplify the schema, allow more tokens, or choose a stronger model."
        )


@dataclass(eq=False, kw_only=True)
class ModelUnknown(MindError):
    """A model name that the catalogue does not have."""

    name: str
    nearest: tuple[str, ...] = ()
    exit_code = 3

    def message(self) -> str:
        hint = f" Nearest: {', '.join(self.nearest)}." if self.nearest else ""
        return (
            f"the catalogue has no model {self.name!r}.{hint} `hal9 model list` shows all; "
            "a path to a .gguf file works too."
        )


@dataclass(eq=False, kw_only=True)
class ModelMissing(MindError):
    """The model's file is not on this machine."""

    name: str
    path: str

    def message(self) -> str:
        return f"the model {self.name} is not at {self.path}. Fetch it with `hal9 model pull {self.name}`."


@dataclass(eq=False, kw_only=True)
class ModelDamaged(MindError):
    """A model file is not the one that was published."""

    name: str
    source: str
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"{self.name} from {self.source} was refused: expected {self.expected}, found {self.found}. "
            f"Nothing was kept; run `hal9 model pull {self.name}` again."
        )


@dataclass(eq=False, kw_only=True)
class ModelUnavailable(MindError):
    """No source delivered the model; `attempts` says what each one answered."""

    name: str
    attempts: tuple[str, ...]

    def message(self) -> str:
        return (
            f"no source delivered {self.name}: {'; '.join(self.attempts)}. Check the network, or put "
            "the file into the folder that `hal9 model path` shows."
        )


@dataclass(eq=False, kw_only=True)
class ModelDiskFull(MindError):
    """Too little room for the model."""

    name: str
    folder: str
    needed: int
    free: int

    def message(self) -> str:
        return (
            f"{self.name} needs {self.needed / 1e6:.0f} MB in {self.folder}, {self.free / 1e6:.0f} MB are "
            "free. Free some space, or set HAL9_MODELS to another folder."
        )


@dataclass(eq=False, kw_only=True)
class RuntimeMissing(MindError):
    """An optional library that this mind needs is not installed."""

    mind: str
    library: str
    extra: str

    def message(self) -> str:
        return f"{self.mind} needs {self.library}. Install it with: {install_hint(self.extra)}"


@dataclass(eq=False, kw_only=True)
class LocalMemoryShort(MindError):
    """The machine has too little memory for the local model."""

    mind: str
    needed: int | None
    free: int | None
    detail: str = ""

    def message(self) -> str:
        need = f"about {self.needed / 1e9:.1f} GB" if self.needed is not None else "more memory"
        free = f", {self.free / 1e9:.1f} GB are free" if self.free is not None else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.mind} needs {need}{free}{detail}. Choose a smaller model or a smaller context."


@dataclass(eq=False, kw_only=True)
class LocalStartFailed(MindError):
    """The local model server did not come up."""

    mind: str
    detail: str

    def message(self) -> str:
        return (
            f"the server of {self.mind} did not start: {self.detail}. Check that the file is a GGUF model "
            "that this llama.cpp knows; `hal9 model pull` fetches a good one."
        )


@dataclass(eq=False, kw_only=True)
class AgentMissing(MindError):
    """A command-line agent is not on PATH."""

    agent: str
    executable: str

    def message(self) -> str:
        return (
            f"{self.executable!r} is not on PATH. Install the {self.agent} command line and log in, "
            "or choose another model."
        )


@dataclass(eq=False, kw_only=True)
class AgentFailed(MindError):
    """A command-line agent ended with an error."""

    agent: str
    exit_status: int
    detail: str

    def message(self) -> str:
        return (
            f"{self.agent} ended with status {self.exit_status}: {self.detail}. "
            f"Run {self.agent} by hand once to see that it is logged in and works."
        )


@dataclass(eq=False, kw_only=True)
class ReplayMiss(MindError):
    """A recording has no (further) answer to this request."""

    path: str
    key: str
    seen: int

    def message(self) -> str:
        return (
            f"{self.path} has {self.seen} recorded answer(s) to request {self.key[:12]} and all are used. "
            "The prompt or settings changed since the recording; record again."
        )


@dataclass(eq=False, kw_only=True)
class RecordingDamaged(MindError):
    """A line of a recording cannot be read."""

    path: str
    line: int
    detail: str

    def message(self) -> str:
        return (
            f"{self.path}:{self.line} is not a recorded exchange: {self.detail}. "
            "Remove the line or record again."
        )


@dataclass(eq=False, kw_only=True)
class ScriptExhausted(MindError):
    """A scripted mind was asked more often than it has replies."""

    mind: str
    replies: int

    def message(self) -> str:
        return (
            f"{self.mind} has {self.replies} replies and was asked once more. "
            "Give it more replies or a function."
        )


@dataclass(eq=False, kw_only=True)
class MindClosed(MindError):
    """A mind was used outside its `async with` block."""

    mind: str

    def message(self) -> str:
        return f"{self.mind} is not open. Use it inside `async with`."
