"""What travels over HTTP: requests and answers, each with its meaning."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from hal9.journal.tasks import TaskRow, TaskState
from hal9.signals import Grant, InlineFile, ResultPayload, TaskPayload, TaskScope

__all__ = [
    "Answer",
    "ApprovalIn",
    "CancelIn",
    "EventsQuery",
    "FeedbackIn",
    "Page",
    "PageQuery",
    "TaskIn",
    "TaskLine",
    "TaskView",
    "TasksQuery",
    "task_row",
    "task_view",
]

T = TypeVar("T")
Text = Annotated[str, Field(max_length=100_000)]
Name = Annotated[str, Field(max_length=200)]
# Numbers beyond these are mistakes, and SQLite could not hold them.
Seq = Annotated[int, Field(ge=0, le=2**62)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TaskIn(_In):
    """A task to be accepted."""

    objective: Annotated[str, Field(min_length=1, max_length=120_000, description="What is to be done.")]
    workspace: Annotated[
        str | None,
        Field(
            max_length=4096,
            description="`upload:ID` of an uploaded workspace, or a directory within api.workspaces.",
        ),
    ] = None
    check: Annotated[
        str | None, Field(max_length=4000, description="Command that must end with 0 in the workspace.")
    ] = None
    files: Annotated[
        list[InlineFile], Field(max_length=100, description="Small text files the task is about.")
    ] = Field(default_factory=list)
    targets: Annotated[list[Name], Field(max_length=200, description="Files the task is to change.")] = Field(
        default_factory=list
    )
    budget_tokens: Annotated[int | None, Field(ge=1, le=2**53, description="Most tokens.")] = None
    budget_usd: Annotated[float | None, Field(ge=0, le=1e9, description="Most dollars.")] = None
    timeout_seconds: Annotated[float | None, Field(gt=0, le=1e8, description="Most seconds.")] = None
    family: Annotated[str, Field(max_length=200, description="Task family, for memory and routing.")] = ""
    module: Annotated[str, Field(max_length=400, description="Part of the workspace it is about.")] = ""
    workload: Annotated[str, Field(max_length=200, description="Who does it.")] = "neurons"
    review: Annotated[bool, Field(description="Keep what it changes for a person's word.")] = False
    divide: Annotated[bool, Field(description="Let strategy and design divide it, however short it is.")] = (
        False
    )
    to: Annotated[str | None, Field(max_length=200, description="The neuron that gets it.")] = None
    labels: Annotated[dict[Name, Text], Field(max_length=50, description="Kept with the task.")] = Field(
        default_factory=dict
    )


class TaskLine(BaseModel):
    """A task in a list."""

    id: str
    seq: int
    state: TaskState
    workload: str
    objective: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    stop_reason: str | None = None
    tokens: int = 0
    usd: float = 0.0


class TaskView(BaseModel):
    """A whole task: what was asked, and what came of it. Times are epoch seconds."""

    id: str
    state: TaskState
    workload: str
    objective: str
    workspace: str | None = None
    check: str | None = None
    targets: list[str] = Field(default_factory=list)
    files: list[str] = Field(default_factory=list)
    scope: TaskScope = Field(default_factory=TaskScope)
    grant: Grant = Field(default_factory=Grant)
    labels: dict[str, str] = Field(default_factory=dict)
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    deadline: float
    stop_reason: str | None = None
    result: ResultPayload | None = None


def task_view(task: TaskRow) -> TaskView:
    """A task as it is told over HTTP; the content of given files is left out."""
    payload = task.payload
    return TaskView(
        id=task.id,
        state=task.state,
        workload=task.workload,
        objective=payload.objective,
        workspace=payload.workspace,
        check=payload.check,
        targets=payload.targets,
        files=[one.path for one in payload.files],
        scope=payload.scope,
        grant=payload.grant,
        labels=payload.labels,
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        deadline=task.deadline,
        stop_reason=task.stop_reason,
        result=task.result,
    )


def task_row(view: TaskView) -> TaskRow:
    """The row a client works with."""
    return TaskRow(
        id=view.id,
        payload=TaskPayload(
            objective=view.objective,
            workspace=view.workspace,
            check=view.check,
            targets=view.targets,
            scope=view.scope,
            grant=view.grant,
            labels=view.labels,
        ),
        state=view.state,
        workload=view.workload,
        created_at=view.created_at,
        started_at=view.started_at,
        finished_at=view.finished_at,
        deadline=view.deadline,
        stop_reason=view.stop_reason,
        result=view.result,
    )


class Page(BaseModel, Generic[T]):
    """Some of a list; `next` is the cursor of what follows, null at the end."""

    items: list[T]
    next: str | None = None


class PageQuery(_In):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=1, le=500, description="At most so many.")] = 50
    cursor: Annotated[str, Field(max_length=200, description="`next` of the page before.")] = ""


class TasksQuery(PageQuery):
    """Which tasks."""

    state: Annotated[TaskState | None, Field(description="Only those in this state.")] = None


class EventsQuery(_In):
    """From where on events are wanted."""

    after: Annotated[
        Seq | None,
        Field(description="The last event's id that was seen; the header Last-Event-ID counts more."),
    ] = None
    full: Annotated[bool, Field(description="Steps with their prompts and replies.")] = False
    progress: Annotated[bool, Field(description="Also signs of life; those may be lost.")] = False


class CancelIn(_In):
    """Why a task is ended."""

    reason: Annotated[str, Field(max_length=1000)] = "cancelled by the user"


class FeedbackIn(_In):
    """What a person thinks of an answer; at least one of verdict, score, expected or note."""

    verdict: Literal["accept", "reject"] | None = None
    why: Annotated[str, Field(max_length=20_000, description="Why it is wrong, taken as a rule.")] = ""
    score: Annotated[float | None, Field(ge=0, le=1, description="How good it is.")] = None
    expected: Annotated[str | None, Field(max_length=100_000, description="The right answer.")] = None
    note: Annotated[str, Field(max_length=20_000, description="A rule for next time.")] = ""
    holds_for: Annotated[
        str, Field(max_length=500, description="Where the rule holds: project, folder, file, a path, a glob.")
    ] = ""


class ApprovalIn(_In):
    """The content that was looked at, by its hash, or the beginning of it."""

    hash: Annotated[str, Field(max_length=128)] = ""
    why: Annotated[str, Field(max_length=4000)] = ""


class Answer(BaseModel):
    """What became of a request to the cluster."""

    model_config = ConfigDict(extra="allow")

    request: Annotated[int, Field(description="Its number.")]
    queued: Annotated[
        bool, Field(description="The cluster is down or busy: it will be done, and only once.")
    ] = False
    said: Annotated[list[str], Field(description="The cluster's answer in sentences.")] = Field(
        default_factory=list
    )

    @property
    def extra(self) -> dict[str, Any]:
        """What else the cluster told."""
        return dict(self.model_extra or {})
