"""HAL9's own journal as runs: one run for each task in which a tool was called or a check was run."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hal9.database import Row, look_into
from hal9.errors.base import Hal9Error
from hal9.errors.ingest import RunFileUnreadable
from hal9.ingest.records import Run, RunStep

__all__ = ["JOURNAL", "is_journal", "journal_runs"]

JOURNAL = "journal.db"
"""What a journal is called in a home's folder of state."""

_MAGIC = b"SQLite format 3\x00"
_COMMAND_KEYS = ("command", "cmd")


def is_journal(file: Path) -> bool:
    """Whether a file is a database, which of the sources can only be a journal."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def journal_runs(file: Path) -> Iterator[Run]:
    """The tasks of a journal, oldest first; read without changing it, also while a daemon writes.

    Raises:
        RunFileUnreadable: it is no journal of ours.
    """
    try:
        with look_into(file) as connection:
            for row in connection.execute("SELECT id, payload, state, result FROM tasks ORDER BY seq"):
                steps = connection.execute(
                    "SELECT body FROM steps WHERE task_id = ? ORDER BY seq", (row["id"],)
                )
                found = tuple(step for one in steps if (step := _step(json.loads(one["body"]))) is not None)
                if found:
                    yield _run(row, found)
    except (Hal9Error, sqlite3.Error, ValueError, TypeError, LookupError) as error:
        raise RunFileUnreadable(file=str(file), problem=f"it is no journal of HAL9 ({error})") from error


def _run(row: Row, steps: tuple[RunStep, ...]) -> Run:
    payload: Mapping[str, Any] = json.loads(row["payload"])
    workspace = str(payload.get("workspace") or "")
    result = json.loads(row["result"]) if row["result"] else {}
    judged = result.get("check") is not None
    return Run(
        id=str(row["id"]),
        repo=workspace,
        root=workspace,
        task=str(payload.get("objective", "")),
        agent="hal9",
        steps=steps,
        resolved=bool(result.get("ok")) if judged else None,
    )


def _step(body: Mapping[str, Any]) -> RunStep | None:
    """A tool call or a check; thoughts and hand-overs are no actions."""
    arguments = body.get("arguments") or {}
    if body.get("kind") == "tool":
        command = next((str(arguments[key]) for key in _COMMAND_KEYS if arguments.get(key)), "")
        return RunStep(
            command=command,
            exit_code=body.get("exit_code"),
            output=str(body.get("observation") or ""),
            executed=body.get("outcome") != "cancelled",
            tool="bash" if command else str(body.get("tool") or ""),
            arguments=arguments,
            path=str(arguments.get("path") or ""),
            text=str(arguments.get("content") or arguments.get("text") or ""),
        )
    return None
