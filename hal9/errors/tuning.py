"""Errors of tuning."""

from dataclasses import dataclass

from hal9.errors.base import TuningError

__all__ = [
    "SpecialistRouterInvalid",
    "TuningBudgetTooSmall",
    "TuningRunBusy",
    "TuningRunDiffers",
    "TuningRunUnknown",
    "TuningStopped",
    "TuningTaskInvalid",
    "TuningTooFewTasks",
]


@dataclass(eq=False, kw_only=True)
class TuningTaskInvalid(TuningError):
    """A task cannot be used as it stands."""

    exit_code = 3
    path: str
    task: str
    problem: str

    def message(self) -> str:
        return f"{self.path}: task {self.task}: {self.problem}"


@dataclass(eq=False, kw_only=True)
class TuningTooFewTasks(TuningError):
    """A split needs more tasks."""

    exit_code = 2
    found: int
    needed: int
    remembered: bool = False

    def message(self) -> str:
        if self.remembered:
            return (
                f"the cluster remembers {self.found} tasks that can be done again (with a check, and a workspace that "
                f"is still there), and tuning takes at least {self.needed}. `hal9 submit … --check …` makes more; "
                "or give a file of tasks"
            )
        return (
            f"{self.found} tasks are too few: some propose changes, some choose, some judge the result, which takes "
            f"at least {self.needed}. Add tasks, or take remembered ones with --from-journal"
        )


@dataclass(eq=False, kw_only=True)
class TuningBudgetTooSmall(TuningError):
    """The budget does not even measure the prompt as it is."""

    exit_code = 2
    budget: int
    needed: int

    def message(self) -> str:
        return (
            f"a budget of {self.budget} task calls is too small: measuring the prompt as it is and one changed "
            f"prompt takes {self.needed}. Give --budget {self.needed} or more"
        )


@dataclass(eq=False, kw_only=True)
class TuningRunDiffers(TuningError):
    """A run of this name was begun with something else."""

    exit_code = 2
    run: str
    what: str

    def message(self) -> str:
        return (
            f"the run {self.run!r} was begun with different {self.what}. "
            "Give the same as then, or begin a new one with --run-name"
        )


@dataclass(eq=False, kw_only=True)
class TuningRunBusy(TuningError):
    """Another process has the run."""

    exit_code = 5
    run: str

    def message(self) -> str:
        return (
            f"the run {self.run!r} is under way in another process. "
            "Wait until that one ends, or begin a new one with --run-name"
        )


@dataclass(eq=False, kw_only=True)
class SpecialistRouterInvalid(TuningError):
    """A router of specialists cannot be used."""

    exit_code = 3
    path: str
    detail: str

    def message(self) -> str:
        return (
            f"the router {self.path} cannot be used: {self.detail}. "
            "Tune again, or remove the file: specialists then count as other neurons do"
        )


@dataclass(eq=False, kw_only=True)
class TuningStopped(TuningError):
    """A limit ended a run before there was anything to report."""

    exit_code = 6
    run: str
    kept: int
    why: str

    def message(self) -> str:
        return (
            f"the run {self.run!r} ended before its prompts could be compared: {self.why.rstrip('.')}. What was asked so far "
            f"is kept ({self.kept} task calls); the same command with a higher limit goes on"
        )


@dataclass(eq=False, kw_only=True)
class TuningRunUnknown(TuningError):
    """There is no such tuning run."""

    exit_code = 3
    run: str
    folder: str
    known: tuple[str, ...] = ()

    def message(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"there is no tuning run {self.run!r} in {self.folder} (known: {known})"
