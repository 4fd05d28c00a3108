"""The tasks a prompt is tuned on: read from YAML or JSONL, or remembered by the cluster; split into three."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from hal9.config import load_model, load_yaml, problem_of, unreadable
from hal9.errors.config import ConfigInvalid, ConfigMissing, ConfigProblem
from hal9.errors.tuning import TuningTaskInvalid, TuningTooFewTasks
from hal9.learning.replay_cases import replay_case
from hal9.memory import MemoryStore

__all__ = [
    "FEWEST_TASKS",
    "Match",
    "TaskSplit",
    "TuningTask",
    "load_tasks",
    "remembered_tasks",
    "split_tasks",
]

Match = Literal["text", "exact", "contains", "regex", "number", "json"]
FEWEST_TASKS = 6
_MOST_HELD_OUT = 60
_LIST = re.compile(r"(?:\s*(?:#[^\n]*)?\n|---[^\n]*\n)*\s*(?:- |-\n|\[)")
_KEY = re.compile(r"(?m)(?:^|[{,\s])[\"']?tasks[\"']?\s*:")
_ASKED = ("input", "question", "text", "prompt", "query")
_ANSWERED = ("expected", "answer", "label", "output", "target")
"""What data sets call the two columns that count, the clearest names first."""


class TuningTask(BaseModel):
    """One task and how an answer to it is judged: by what is expected, by a command, or by a judge.

    Attributes:
        input: what the neuron is asked.
        id: names the task; made from its text when it is not given.
        expected: the right answer; several are alternatives.
        match: how an answer is compared with it. `text` ignores case, punctuation at the ends and everything
            before the last line; `number` compares the last number; `json` the last JSON value.
        check: a command that is run in a folder holding the answer as `answer.txt` (and its files); it passes
            with exit code 0, and the proposer reads what it prints. A line `score: 0.7` counts in part.
        judge: what a judging mind is asked about the answer.
        files: files that lie beside the answer when the check runs, by name.
        workspace: a folder that is copied for the check, and into which the files of the answer are written.
        targets: files that the answer is to write, where there is a workspace.
        fields: anything known about the task that may decide which specialist takes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[str, Field(min_length=1)]
    id: str = ""
    expected: str | list[str] | None = None
    match: Match = "text"
    check: str | None = None
    judge: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    workspace: Path | None = None
    targets: tuple[str, ...] = ()
    fields: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The id, or one made from the text."""
        return self.id or hashlib.sha256(self.input.encode()).hexdigest()[:10]

    @property
    def answers(self) -> tuple[str, ...]:
        """The right answers."""
        if self.expected is None:
            return ()
        return (self.expected,) if isinstance(self.expected, str) else tuple(self.expected)

    @model_validator(mode="after")
    def _judged_somehow(self) -> "TuningTask":
        if self.expected is None and self.check is None and self.judge is None:
            raise ValueError("needs `expected`, `check` or `judge`: nothing says whether an answer is right")
        return self


class _TaskFile(BaseModel):
    """A YAML file of tasks; what stands beside `tasks` holds for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[list["_TaskEntry"], Field(min_length=1)]
    match: Match | None = None
    check: str | None = None
    judge: str | None = None
    workspace: Path | None = None


class _TaskEntry(BaseModel):
    """A task as it stands in a file, before the file's own defaults are filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[str, Field(min_length=1)]
    id: str = ""
    expected: str | int | float | bool | list[str] | None = None
    match: Match | None = None
    check: str | None = None
    judge: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    workspace: Path | None = None
    targets: tuple[str, ...] = ()
    fields: dict[str, str] = Field(default_factory=dict)


class _TaskList(RootModel[list[_TaskEntry]]):
    """A file that is nothing but a list of tasks."""


@dataclass(frozen=True, slots=True)
class TaskSplit:
    """What proposals are made from, what chooses among them, and what judges the winner."""

    train: tuple[TuningTask, ...]
    selection: tuple[TuningTask, ...]
    held_out: tuple[TuningTask, ...]


def load_tasks(path: Path) -> tuple[TuningTask, ...]:
    """Read a file of tasks: JSONL with one a line, CSV and TSV with one a row, else YAML or JSON.

    Raises:
        ConfigMissing, ConfigInvalid: the file cannot be read; names each line and the nearest key.
        TuningTaskInvalid: nothing says how a task is judged, or two share an id.
    """
    given = _given(path)
    found: list[TuningTask] = []
    for number, entry in enumerate(given.tasks, start=1):
        values = entry.model_dump()
        for key in ("match", "check", "judge", "workspace"):
            if values[key] is None:
                values[key] = getattr(given, key)
        if values["match"] is None:
            del values["match"]
        if values["expected"] is not None and not isinstance(values["expected"], list):
            values["expected"] = str(values["expected"])
        if values["workspace"] is not None:
            values["workspace"] = (path.parent / Path(values["workspace"]).expanduser()).resolve()
        try:
            found.append(TuningTask.model_validate(values))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise TuningTaskInvalid(path=str(path), task=str(entry.id or number), problem=problem) from error
    return checked(found, source=str(path))


def checked(tasks: Sequence[TuningTask], *, source: str = "tasks") -> tuple[TuningTask, ...]:
    """The tasks, when each has a name of its own and its workspace exists.

    Raises:
        TuningTaskInvalid: two share a name, or a workspace is missing.
    """
    seen: dict[str, int] = {}
    for number, task in enumerate(tasks, start=1):
        if task.name in seen:
            how = "has the `id` of" if task.id else "asks the same as"
            problem = f"{how} task {seen[task.name]}; take one of them out, or give each an `id` of its own"
            raise TuningTaskInvalid(path=source, task=task.id or str(number), problem=problem)
        seen[task.name] = number
        if task.workspace is not None and not task.workspace.is_dir():
            raise TuningTaskInvalid(
                path=source, task=task.name, problem=f"there is no workspace {str(task.workspace)!r}"
            )
    return tuple(tasks)


def split_tasks(tasks: Sequence[TuningTask], *, seed: int = 0) -> TaskSplit:
    """Split by chance alone: about a quarter is held out, the rest is parted 3 to 2 into train and selection.

    Raises:
        TuningTooFewTasks: fewer than six.
    """
    if len(tasks) < FEWEST_TASKS:
        raise TuningTooFewTasks(found=len(tasks), needed=FEWEST_TASKS)
    order = [tasks[i] for i in np.random.default_rng(seed).permutation(len(tasks))]
    held_out = min(_MOST_HELD_OUT, max(2, round(len(order) / 4)))
    pool = order[held_out:]
    train = max(2, round(len(pool) * 0.6))
    return TaskSplit(tuple(pool[:train]), tuple(pool[train:]), tuple(order[:held_out]))


def _given(path: Path) -> _TaskFile:
    if path.suffix == ".jsonl":
        return _TaskFile(tasks=_jsonl(path))
    if path.suffix in (".csv", ".tsv"):
        return _TaskFile(tasks=_table(path))
    text = _read(path)
    if _LIST.match(text):
        return _TaskFile(tasks=load_model(path, _TaskList).root)
    if not _KEY.search(text):
        load_yaml(text, path=str(path), environ=os.environ)  # what is no YAML is told as that
        told = "holds no tasks: write `tasks:` and below it a list, each with `input` and `expected`"
        raise ConfigInvalid(problems=(ConfigProblem(path=str(path), line=1, text=told),))
    return load_model(path, _TaskFile)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigMissing(path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _table(path: Path) -> list[_TaskEntry]:
    """Rows of a data set: a column for what is asked, one for the answer; the others are fields."""
    rows = list(csv.reader(io.StringIO(_read(path)), delimiter="\t" if path.suffix == ".tsv" else ","))
    columns = [name.strip() for name in rows[0]] if rows else []
    low = [name.lower() for name in columns]
    asked = next((low.index(name) for name in _ASKED if name in low), None)
    answer = next((low.index(name) for name in _ANSWERED if name in low), None)
    if asked is None or answer is None:
        told = f"needs a column {' or '.join(_ASKED)}, and one {' or '.join(_ANSWERED)}; it has "
        told += ", ".join(columns) or "none"
        raise ConfigInvalid(problems=(ConfigProblem(path=str(path), line=1, text=told),))
    found: list[_TaskEntry] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns) or not row[asked].strip():
            told = f"row {number} has {len(row)} cells of {len(columns)}, or asks nothing"
            raise ConfigInvalid(problems=(ConfigProblem(path=str(path), line=number, text=told),))
        named = {name: cell for name, cell in zip(columns, row, strict=True) if name}
        fields = {name: cell for name, cell in named.items() if name not in (columns[asked], columns[answer])}
        identity = fields.pop("id", "")
        found.append(_TaskEntry(input=row[asked], expected=row[answer], id=identity, fields=fields))
    if not found:
        raise ConfigInvalid(problems=(ConfigProblem(path=str(path), line=1, text="holds no task"),))
    return found


def _jsonl(path: Path) -> list[_TaskEntry]:
    found, problems = [], []
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_TaskEntry.model_validate(json.loads(line)))
        except ValidationError as error:
            details = error.errors(include_url=False)
            problems += [problem_of(str(path), number, _TaskEntry, detail) for detail in details]
        except ValueError as error:
            problems.append(ConfigProblem(path=str(path), line=number, text=f"no JSON: {error}"))
    if not found and not problems:
        problems.append(ConfigProblem(path=str(path), line=1, text="holds no task"))
    if problems:
        raise ConfigInvalid(problems=tuple(problems))
    return found


def remembered_tasks(store: MemoryStore, *, most: int = 200) -> tuple[TuningTask, ...]:
    """The latest remembered tasks whose check and workspace are still there, newest first.

    Raises:
        TuningTooFewTasks: fewer than a run takes.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT checks FROM tasks WHERE checks != '[]' ORDER BY created DESC LIMIT ?", (most * 4,)
        ).fetchall()
    found: dict[str, TuningTask] = {}
    for row in rows:
        with contextlib.suppress(ValueError, KeyError, IndexError):  # written by an older version
            payload = replay_case(row["checks"]).payload
            if payload.check is None or payload.workspace is None or not Path(payload.workspace).is_dir():
                continue
            task = TuningTask(
                input=payload.objective,
                check=payload.check,
                workspace=Path(payload.workspace),
                targets=tuple(payload.targets),
            )
            found.setdefault(task.name, task)
        if len(found) == most:
            break
    if len(found) < FEWEST_TASKS:
        raise TuningTooFewTasks(found=len(found), needed=FEWEST_TASKS, remembered=True)
    return tuple(found.values())
