"""Roots of the error tree: one class per room, and how every error builds its sentence."""

import errno
from collections.abc import Callable
from typing import Any, ClassVar

DISTRIBUTION = "hal9-cluster"
"""What the package is called on package indexes; `hal9` there is somebody else's."""


def install_hint(extra: str = "") -> str:
    """The command that installs HAL9, with an extra where one is needed."""
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"


def is_disk_full(error: BaseException) -> bool:
    """Whether there is no room on a disk, which passes when somebody makes some."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
    """A language model or its provider.

    `usage` is a `hal9.minds.Usage` when the failed call was paid for, exactly as the budget book has it.
    """

    exit_code = 5
    usage: Any = None


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
    """The daemon, its scheduler or its registry."""


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


class TuningError(Hal9Error):
    """Tuning a neuron's prompt on one's own tasks."""


class HolographError(Hal9Error):
    """Causal discovery."""


class ApiError(Hal9Error):
    """The HTTP interface, its clients and their tokens."""
