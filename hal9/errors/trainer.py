"""Errors of trainer."""

from dataclasses import dataclass

from hal9.errors.base import TrainerError, install_hint

__all__ = [
    "CorpusUnavailable",
    "EvaluationFailed",
    "ExecutorInvalid",
    "ExecutorMissing",
    "OptimiserMissing",
    "ScratchpadInvalid",
    "TrainerSettingInvalid",
    "TrainingRunExists",
    "TrainingRunUnchanged",
    "TrainingRunUnknown",
]


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
class TrainingRunUnchanged(TrainerError):
    """A run that has no ledger: no step of a mind was judged in it."""

    exit_code = 3
    run: str
    folder: str

    def message(self) -> str:
        return (
            f"The run {self.run!r} in {self.folder} has no ledger: no step of a mind was judged in it. "
            "--show says what it did and why it ended; --resume goes on with it."
        )


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
        return f"Strategy {self.strategy!r} needs {self.library}: {install_hint('trainer')}."


@dataclass(eq=False, kw_only=True)
class EvaluationFailed(TrainerError):
    """A worker process died, or was killed, while it ranked."""

    detail: str
    remedy: str = "Try again, with --workers 1 if memory is short."

    def message(self) -> str:
        return f"An evaluation failed: {self.detail}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class ExecutorInvalid(TrainerError):
    """What `--executor` names is neither this machine nor a Dask scheduler."""

    exit_code = 2
    executor: str

    def message(self) -> str:
        return (
            f"{self.executor!r} is no executor: say local, or dask:tcp://HOST:PORT with the address of a "
            "running Dask scheduler."
        )


@dataclass(eq=False, kw_only=True)
class ExecutorMissing(TrainerError):
    """A Dask executor needs a library that is not installed."""

    exit_code = 3

    def message(self) -> str:
        return f"A Dask executor needs dask.distributed: {install_hint('dask')}."
