"""What a task is made of when it is given: its text and options, checked; then the row the journal keeps.

Nothing of the daemon is needed here: whoever can write the home's journal can submit.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self, TypedDict

from hal9.cluster.workloads.contract import NEURONS, WORKLOADS, find_workload, workload_options
from hal9.errors.cluster import TaskInvalid
from hal9.errors.workbench import WorkspaceRefused
from hal9.journal.tasks import TaskRow
from hal9.settings import Settings
from hal9.signals import MAX_SIGNAL_BYTES, Grant, InlineFile, TaskPayload, TaskScope, new_id
from hal9.signals.labels import (
    ALLOW_HOME,
    DIVIDE,
    ENVIRONMENT,
    REVIEW,
    TO,
    WORKLOAD_FOLDER,
    WORKSPACE_AT,
    WORKSPACE_IS,
)
from hal9.text import without_surrogates

__all__ = [
    "Submission",
    "SubmitOptions",
    "given_files",
    "new_task",
    "task_of",
]

_WORKLOAD_SECONDS = 7 * 86400.0


class SubmitOptions(TypedDict, total=False):
    """Everything a task may be given besides its objective; paths may be strings."""

    workspace: Path | str | None
    """Directory the task may change."""
    check: str | None
    """Command that must end with 0 in the workspace."""
    files: Sequence[Path | str]
    """Text files the task is about; those inside the workspace are what it is to change."""
    inline: Sequence[InlineFile]
    """Files given by content instead."""
    targets: Sequence[str]
    """Paths inside the workspace the task is to change."""
    budget_tokens: int | None
    """Most tokens it may use."""
    budget_usd: float | None
    """Most dollars it may cost."""
    timeout_seconds: float | None
    """Seconds it may take; default: cluster.task_timeout_seconds."""
    scope: TaskScope | None
    """Where learned memories apply; default: the workspace."""
    workload: str
    """Who does it; default: the neurons."""
    labels: dict[str, str] | None
    """Kept with the task."""
    allow_home: bool
    """The workspace may be a home directory."""
    review: bool
    """What the task changes waits for a person's word."""
    divide: bool
    """Strategy and design look at it and may divide it, however short it is."""
    to: str | None
    """The neuron that gets it, past the layers above; default: where tasks enter."""


@dataclass(slots=True)
class Submission:
    """The options of one task, settled."""

    workspace: Path | None = None
    check: str | None = None
    files: tuple[Path, ...] = ()
    inline: tuple[InlineFile, ...] = ()
    targets: tuple[str, ...] = ()
    budget_tokens: int | None = None
    budget_usd: float | None = None
    timeout_seconds: float | None = None
    scope: TaskScope | None = None
    workload: str = "neurons"
    labels: dict[str, str] | None = None
    allow_home: bool = False
    review: bool = False
    divide: bool = False
    to: str | None = None

    @property
    def bare(self) -> bool:
        """Whether it names nothing on a disk, so that accepting it looks at none."""
        return self.workspace is None and not self.files and self.workload == NEURONS

    @classmethod
    def of(cls, options: SubmitOptions) -> Self:
        """Settle options: strings become paths, sequences tuples.

        Raises:
            TaskInvalid: an option that does not exist.
        """
        known = [one.name for one in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise TaskInvalid(problem=f"no option {unknown[0]!r}; there are: {', '.join(sorted(known))}")
        workspace = options.get("workspace")
        return cls(
            workspace=None if workspace is None else Path(workspace),
            check=options.get("check"),
            files=tuple(Path(one) for one in options.get("files", ())),
            inline=tuple(options.get("inline", ())),
            targets=tuple(options.get("targets", ())),
            budget_tokens=options.get("budget_tokens"),
            budget_usd=options.get("budget_usd"),
            timeout_seconds=options.get("timeout_seconds"),
            scope=options.get("scope"),
            workload=options.get("workload", NEURONS),
            labels=options.get("labels"),
            allow_home=options.get("allow_home", False),
            review=options.get("review", False),
            divide=options.get("divide", False),
            to=options.get("to"),
        )


def task_of(objective: str, submission: Submission, *, settings: Settings, now: float) -> TaskRow:
    """The queued task of a submission.

    Raises:
        TaskInvalid: it cannot be accepted; says why.
    """
    usual = settings.cluster.task_timeout_seconds
    if submission.workload != NEURONS:
        # Training takes longer than an answer.
        usual = max(usual, _WORKLOAD_SECONDS)
    return new_task(
        _payload(objective, submission),
        now=now,
        timeout_seconds=submission.timeout_seconds or usual,
        workload=submission.workload,
    )


def new_task(
    payload: TaskPayload, *, now: float, timeout_seconds: float, workload: str = "neurons"
) -> TaskRow:
    """A task as it enters the book: queued, with its deadline fixed."""
    deadline = now + timeout_seconds
    grant = payload.grant
    if grant.deadline is not None:
        deadline = min(deadline, grant.deadline)
    payload = payload.model_copy(
        update={"grant": Grant(tokens=grant.tokens, usd=grant.usd, deadline=deadline)}
    )
    return TaskRow(
        id=new_id(now=now),
        payload=payload,
        state="queued",
        created_at=now,
        deadline=deadline,
        workload=workload,
    )


def _payload(objective: str, submission: Submission) -> TaskPayload:
    if not objective.strip():
        raise TaskInvalid(problem="it has no text")
    workspace = submission.workspace.expanduser().absolute() if submission.workspace else None
    if workspace is not None and without_surrogates(str(workspace)) != str(workspace):
        shown = without_surrogates(str(workspace))
        raise TaskInvalid(problem=f"the name of workspace {shown} is not UTF-8; rename the folder")
    if workspace is not None and not workspace.is_dir():
        raise TaskInvalid(problem=f"workspace {workspace} is not a directory")
    labels = dict(submission.labels or {}) | ({DIVIDE: "yes"} if submission.divide else {})
    # Code is imported from there, and files are taken from there: it is found here, never what a client says.
    for name in (WORKLOAD_FOLDER, WORKSPACE_AT, WORKSPACE_IS):
        labels.pop(name, None)
    if submission.workload != NEURONS:
        labels |= _workload_labels(submission.workload, objective)
    if submission.to is not None:
        labels[TO] = submission.to
    if workspace is not None:
        labels |= _workspace_labels(workspace, submission)
    if submission.check and workspace is None:
        raise TaskInvalid(problem="a check needs a workspace to run in (--workspace DIR)")
    files, targets = given_files(submission, workspace)
    payload = TaskPayload(
        objective=objective,
        check=submission.check,
        workspace=str(workspace) if workspace else None,
        targets=targets,
        files=[*files, *submission.inline],
        scope=submission.scope or TaskScope(workspace=str(workspace or "")),
        grant=Grant(tokens=submission.budget_tokens, usd=submission.budget_usd),
        labels=labels,
    )
    size = len(payload.model_dump_json())
    if size > MAX_SIGNAL_BYTES // 2:
        raise TaskInvalid(
            problem=f"it has {size} bytes, the limit is {MAX_SIGNAL_BYTES // 2}; "
            "put large files into the workspace instead of --file"
        )
    return payload


def _workspace_labels(workspace: Path, submission: Submission) -> dict[str, str]:
    """What a turn has to know of how the task was given.

    Raises:
        TaskInvalid: no task may work in this folder.
    """
    from hal9.workbench.secrets import check_workspace  # noqa: PLC0415 - only tasks with a workspace
    from hal9.workbench.travelling import identity_of  # noqa: PLC0415

    try:
        check_workspace(workspace, allow_home=submission.allow_home)
    except WorkspaceRefused as error:
        raise TaskInvalid(problem=str(error)) from error
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or ""
    given = {
        ENVIRONMENT: active,
        ALLOW_HOME: _yes(submission.allow_home),
        REVIEW: _yes(submission.review),
        WORKSPACE_IS: identity_of(workspace),
    }
    return {name: value for name, value in given.items() if value}


def _workload_labels(workload: str, text: str) -> dict[str, str]:
    """Where a workload's module was found.

    Raises:
        TaskInvalid: its options are wrong, or there is no such workload.
    """
    workload_options(workload, text)
    folder = find_workload(WORKLOADS.get(workload, workload))
    return {WORKLOAD_FOLDER: folder} if folder else {}


def _yes(wanted: bool) -> str:
    return "yes" if wanted else ""


def given_files(submission: Submission, workspace: Path | None) -> tuple[list[InlineFile], list[str]]:
    """Given files travel with the task; those inside the workspace are what the task is to change.

    Raises:
        TaskInvalid: a file that cannot be read.
    """
    files, targets = [], list(submission.targets)
    for given in submission.files:
        path = given.expanduser().absolute()
        try:
            content = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TaskInvalid(problem=f"file {given} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TaskInvalid(problem=f"file {given} is no UTF-8 text") from error
        inside = workspace is not None and path.resolve().is_relative_to(workspace.resolve())
        name = (
            path.resolve().relative_to(workspace.resolve()).as_posix() if inside and workspace else path.name
        )
        files.append(InlineFile(path=name, content=content))
        if inside:
            targets.append(name)
    return files, targets
