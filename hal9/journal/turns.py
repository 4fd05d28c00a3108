"""The log of turns that go step by step, and the questions they put to a person.

A turn's log is the order of its model replies, results and notes: what a turn needs in order to go on after a
crash. That a call has begun is recorded before it runs, so that no command is run twice unnoticed: in the
reply that asks for it (`begins`) or, for a later call of the same reply, in a row of its own until its result
is in the log. Functions take the connection of a running transaction (or a reader).
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from hal9.database import Connection, Row

__all__ = [
    "CallUnderWay",
    "EntryKind",
    "Question",
    "TurnEntry",
    "add_entry",
    "add_question",
    "answer_question",
    "begin_anew",
    "begin_call",
    "call_under_way",
    "end_call",
    "entries_of_signal",
    "entries_of_task",
    "expire_question",
    "find_question",
    "has_log",
    "list_questions",
    "m005_turns",
    "purge_turns",
    "seconds_waited",
]

EntryKind = Literal["reply", "result", "note"]
QuestionState = Literal["open", "answered", "expired"]


def m005_turns(connection: Connection) -> None:
    """Turn logs, calls under way, questions. Times are wall-clock seconds since the epoch."""
    connection.execute(
        """
        CREATE TABLE turn_entries (
            signal_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            task_id TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('reply', 'result', 'note')),
            body TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (signal_id, position)
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute("CREATE INDEX turn_entries_by_task ON turn_entries (task_id)")
    connection.execute(
        """
        CREATE TABLE calls_under_way (
            signal_id TEXT PRIMARY KEY,
            label TEXT NOT NULL,
            started_at REAL NOT NULL,
            observation TEXT
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute(
        """
        CREATE TABLE questions (
            id TEXT PRIMARY KEY,
            task_id TEXT NOT NULL,
            signal_id TEXT NOT NULL,
            label TEXT NOT NULL,
            neuron TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('approval', 'question')),
            text TEXT NOT NULL,
            detail TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'expired')),
            asked_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            answered_at REAL,
            answer TEXT,
            UNIQUE (signal_id, label)
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute("CREATE INDEX questions_open ON questions (task_id) WHERE state = 'open'")


@dataclass(frozen=True, slots=True)
class TurnEntry:
    """One entry of a turn's log; `body` is JSON."""

    position: int
    kind: EntryKind
    body: dict[str, Any]
    at: float = 0.0
    signal_id: str = ""


@dataclass(frozen=True, slots=True)
class CallUnderWay:
    """A call that began and has no result in the log yet."""

    label: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something a turn waits for a person to say.

    Attributes:
        kind: `approval` for an action that needs a yes, `question` for one the neuron asked.
        detail: of an approval the action (kind, tool, text, paths), of a question its options.
        answer: the person's words; of an approval it begins with ``yes`` or ``no``.
    """

    id: str
    task_id: str
    signal_id: str
    label: str
    neuron: str
    kind: Literal["approval", "question"]
    text: str
    asked_at: float
    expires_at: float
    state: QuestionState = "open"
    answered_at: float | None = None
    answer: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


# --- the log ----------------------------------------------------------------------------------


def add_entry(connection: Connection, *, signal_id: str, task_id: str, entry: TurnEntry) -> None:
    """Append to a turn's log; an entry that is already there is left alone."""
    connection.execute(
        "INSERT OR IGNORE INTO turn_entries (signal_id, position, task_id, kind, body, at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (signal_id, entry.position, task_id, entry.kind, json.dumps(entry.body), entry.at),
    )


def has_log(connection: Connection, signal_id: str) -> bool:
    """Whether an earlier process left anything of a turn."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM turn_entries WHERE signal_id = ?)"
        " OR EXISTS (SELECT 1 FROM calls_under_way WHERE signal_id = ?)",
        (signal_id, signal_id),
    ).fetchone()
    return bool(row[0])


def entries_of_signal(connection: Connection, signal_id: str) -> list[TurnEntry]:
    """A turn's log in order."""
    rows = connection.execute(
        "SELECT * FROM turn_entries WHERE signal_id = ? ORDER BY position", (signal_id,)
    )
    return [_entry(row) for row in rows]


def entries_of_task(connection: Connection, task_id: str) -> list[TurnEntry]:
    """The logs of all turns of a task, turn after turn as they began."""
    rows = connection.execute(
        "SELECT * FROM turn_entries WHERE task_id = ? ORDER BY"
        " (SELECT min(at) FROM turn_entries AS first WHERE first.signal_id = turn_entries.signal_id),"
        " signal_id, position",
        (task_id,),
    )
    return [_entry(row) for row in rows]


def _entry(row: Row) -> TurnEntry:
    return TurnEntry(
        position=row["position"],
        kind=row["kind"],
        body=json.loads(row["body"]),
        at=row["at"],
        signal_id=row["signal_id"],
    )


def begin_call(connection: Connection, signal_id: str, label: str, *, now: float) -> None:
    """Note that a call is about to run."""
    connection.execute(
        "INSERT INTO calls_under_way (signal_id, label, started_at) VALUES (?, ?, ?) ON CONFLICT (signal_id) "
        "DO UPDATE SET label = excluded.label, started_at = excluded.started_at",
        (signal_id, label, now),
    )


def end_call(connection: Connection, signal_id: str) -> None:
    """The call's result is in the log (write both in one transaction)."""
    connection.execute("DELETE FROM calls_under_way WHERE signal_id = ?", (signal_id,))


def begin_anew(connection: Connection, *, signal_id: str, task_id: str, kept: list[TurnEntry]) -> None:
    """A turn begins anew: of its log only these entries stay, and what it asked a person is forgotten."""
    for table in ("turn_entries", "calls_under_way", "questions"):
        connection.execute(
            f"DELETE FROM {table} WHERE signal_id = ?",  # noqa: S608 - three constant names
            (signal_id,),
        )
    for entry in kept:
        add_entry(connection, signal_id=signal_id, task_id=task_id, entry=entry)


def call_under_way(connection: Connection, signal_id: str) -> CallUnderWay | None:
    """The call that was running when the process ended; None when there was none."""
    row = connection.execute("SELECT * FROM calls_under_way WHERE signal_id = ?", (signal_id,)).fetchone()
    if row is not None:
        return CallUnderWay(label=row["label"], started_at=row["started_at"])
    last = connection.execute(
        "SELECT * FROM turn_entries WHERE signal_id = ? ORDER BY position DESC LIMIT 1", (signal_id,)
    ).fetchone()
    if last is None or last["kind"] != "reply":
        return None
    label = json.loads(last["body"]).get("begins", "")
    return CallUnderWay(label=label, started_at=last["at"]) if label else None


# --- questions --------------------------------------------------------------------------------


def add_question(connection: Connection, question: Question) -> Question:
    """Ask, once: the same call of the same turn finds the question it asked before."""
    connection.execute(
        "INSERT OR IGNORE INTO questions (id, task_id, signal_id, label, neuron, kind, text, detail, state,"
        " asked_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)",
        (
            question.id,
            question.task_id,
            question.signal_id,
            question.label,
            question.neuron,
            question.kind,
            question.text,
            json.dumps(question.detail),
            question.asked_at,
            question.expires_at,
        ),
    )
    row = connection.execute(
        "SELECT * FROM questions WHERE signal_id = ? AND label = ?", (question.signal_id, question.label)
    ).fetchone()
    return _question(row)


def find_question(connection: Connection, question_id: str) -> Question | None:
    """One question by its id."""
    row = connection.execute("SELECT * FROM questions WHERE id = ?", (question_id,)).fetchone()
    return _question(row) if row else None


def list_questions(connection: Connection, *, state: str | None = "open") -> list[Question]:
    """Questions in a state (None: all), oldest first."""
    rows = connection.execute(
        "SELECT * FROM questions WHERE CAST(? AS TEXT) IS NULL OR state = ? ORDER BY asked_at, id",
        (state, state),
    )
    return [_question(row) for row in rows]


def answer_question(connection: Connection, question_id: str, answer: str, *, now: float) -> bool:
    """Answer; False when it is not open any more. The task gets the time back that it waited."""
    done = connection.execute(
        "UPDATE questions SET state = 'answered', answer = ?, answered_at = ?"
        " WHERE id = ? AND state = 'open'",
        (answer, now, question_id),
    )
    if done.rowcount == 1:
        _give_time_back(connection, question_id, now)
    return done.rowcount == 1


def expire_question(connection: Connection, question_id: str, *, now: float) -> bool:
    """Nobody answered in time; False when somebody just did."""
    done = connection.execute(
        "UPDATE questions SET state = 'expired', answered_at = ? WHERE id = ? AND state = 'open'",
        (now, question_id),
    )
    if done.rowcount == 1:
        _give_time_back(connection, question_id, now)
    return done.rowcount == 1


def seconds_waited(connection: Connection, task_id: str, *, now: float) -> float:
    """How long a task has waited for persons so far."""
    row = connection.execute(
        "SELECT coalesce(sum(coalesce(answered_at, ?) - asked_at), 0) FROM questions WHERE task_id = ?",
        (now, task_id),
    ).fetchone()
    return float(row[0])


def _give_time_back(connection: Connection, question_id: str, now: float) -> None:
    connection.execute(
        "UPDATE tasks SET deadline = deadline + max(0, ? - (SELECT asked_at FROM questions WHERE id = ?))"
        " WHERE id = (SELECT task_id FROM questions WHERE id = ?)",
        (now, question_id, question_id),
    )


def _question(row: Row) -> Question:
    return Question(
        id=row["id"],
        task_id=row["task_id"],
        signal_id=row["signal_id"],
        label=row["label"],
        neuron=row["neuron"],
        kind=row["kind"],
        text=row["text"],
        detail=json.loads(row["detail"]),
        state=row["state"],
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        answered_at=row["answered_at"],
        answer=row["answer"],
    )


def purge_turns(connection: Connection, *, finished_before: float, limit: int) -> int:
    """Forget the logs and questions of tasks that ended before a moment; call it before the tasks go."""
    old = "(SELECT id FROM tasks WHERE finished_at < ? ORDER BY seq LIMIT ?)"
    gone = 0
    for table in ("turn_entries", "questions"):
        done = connection.execute(
            f"DELETE FROM {table} WHERE task_id IN {old}",  # noqa: S608 - two constant names
            (finished_before, limit),
        )
        gone += done.rowcount
    return gone
