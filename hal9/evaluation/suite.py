"""What is evaluated: tasks, each with a way to tell a right answer, and what they are run on."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hal9.config import load_model
from hal9.errors.config import ConfigInvalid, ConfigProblem
from hal9.tuning.tasks import Match, TuningTask

__all__ = ["Learning", "Suite", "SuiteTask", "load_suite"]

Learning = Literal["with", "without"]


class SuiteTask(BaseModel):
    """One task: right when its check passes, and its answer is what is expected (each where given)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[str, Field(min_length=1)]
    id: str = ""
    workspace: Path | None = None
    check: str | None = None
    files: tuple[Path, ...] = ()
    targets: tuple[str, ...] = ()
    expected: str | int | float | bool | list[str] | None = None
    match: Match = "text"

    @property
    def name(self) -> str:
        """The id, or one made from the text."""
        return self.id or hashlib.sha256(self.input.encode()).hexdigest()[:10]

    @property
    def wanted(self) -> TuningTask | None:
        """What the answer is compared with; None when only the check tells."""
        if self.expected is None:
            return None
        expected = self.expected if isinstance(self.expected, list) else str(self.expected)
        return TuningTask(input=self.input, id=self.id, expected=expected, match=self.match)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.check is None and self.expected is None:
            raise ValueError("needs `check` or `expected`: nothing says whether an answer is right")
        if self.check is not None and self.workspace is None:
            raise ValueError("a `check` needs a `workspace` to run in")
        return self


class Suite(BaseModel):
    """A file of tasks and what to run them on; every combination of models, neurons and learning is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[tuple[SuiteTask, ...], Field(min_length=1)]
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("default",)
    neurons: Annotated[tuple[str | None, ...], Field(min_length=1)] = (None,)
    learning: Annotated[tuple[Learning, ...], Field(min_length=1)] = ("with",)
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    budget_tokens: Annotated[int | None, Field(ge=1)] = None
    concurrency: Annotated[int, Field(ge=1, le=64)] = 2


def load_suite(path: Path) -> Suite:
    """Read a suite; its paths are relative to the file.

    Raises:
        ConfigMissing, ConfigInvalid: it cannot be read; names every mistake.
    """
    suite = load_model(path, Suite)
    tasks, problems, seen = [], [], set[str]()
    for number, task in enumerate(suite.tasks, start=1):
        workspace = (path.parent / task.workspace.expanduser()).resolve() if task.workspace else None
        files = tuple((path.parent / one.expanduser()).resolve() for one in task.files)
        if task.name in seen:
            problems.append(
                f"task {number} is named {task.name!r} like another; give each an `id` of its own"
            )
        if workspace is not None and not workspace.is_dir():
            problems.append(f"task {task.name}: there is no workspace {workspace}")
        problems += [f"task {task.name}: there is no file {one}" for one in files if not one.is_file()]
        seen.add(task.name)
        tasks.append(task.model_copy(update={"workspace": workspace, "files": files}))
    if problems:
        raise ConfigInvalid(
            problems=tuple(ConfigProblem(path=str(path), line=1, text=text) for text in problems)
        )
    return suite.model_copy(update={"tasks": tuple(tasks)})
