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
