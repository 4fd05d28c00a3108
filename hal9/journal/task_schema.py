"""Tables of tasks, of what neurons did for them, and of requests to the daemon."""

from hal9.database import Connection
from hal9.journal.counts import recount_states

__all__ = ["m002_tasks", "m004_counters", "m007_recount", "m009_states"]


def m002_tasks(connection: Connection) -> None:
    """Tasks, steps, open work with its parts, requests. Times are wall-clock seconds since the epoch."""
    connection.execute(
        """
        CREATE TABLE tasks (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            workload TEXT NOT NULL,
            payload TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
            created_at REAL NOT NULL,
            started_at REAL,
            finished_at REAL,
            deadline REAL NOT NULL,
            root_signal TEXT,
            result TEXT,
            stop_reason TEXT
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX tasks_open ON tasks (state, seq) WHERE state IN ('queued', 'running')")
    connection.execute(
        """
        CREATE TABLE steps (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            task_id TEXT NOT NULL,
            signal_id TEXT NOT NULL,
            neuron TEXT NOT NULL,
            body TEXT NOT NULL
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX steps_by_task ON steps (task_id, seq)")
    connection.execute(
        """
        CREATE TABLE work (
            signal_id TEXT PRIMARY KEY,
            task_id TEXT NOT NULL,
            neuron TEXT NOT NULL,
            signal TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
            opened_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute("CREATE INDEX work_by_task ON work (task_id)")
    connection.execute(
        """
        CREATE TABLE parts (
            work_id TEXT NOT NULL,
            position INTEGER NOT NULL,
            signal_id TEXT UNIQUE,
            target TEXT NOT NULL,
            payload TEXT NOT NULL,
            result TEXT,
            PRIMARY KEY (work_id, position)
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute(
        """
        CREATE TABLE requests (
            seq INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            task_id TEXT,
            body TEXT NOT NULL,
            at REAL NOT NULL,
            done_at REAL,
            outcome TEXT
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX requests_open ON requests (seq) WHERE done_at IS NULL")


def m004_counters(connection: Connection) -> None:
    """How many tasks were ever accepted, finished and forgotten: numbers that only grow.

    They are compared with a record beside the journal, so that a journal that lost rows is noticed.
    """
    connection.execute(
        """
        CREATE TABLE counters (
            name TEXT PRIMARY KEY,
            value INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """
    )
    connection.execute("INSERT INTO counters SELECT 'accepted', count(*) FROM tasks")
    connection.execute("INSERT INTO counters SELECT 'finished', count(*) FROM tasks WHERE result IS NOT NULL")
    connection.execute("INSERT INTO counters VALUES ('forgotten', 0)")


def m007_recount(connection: Connection) -> None:
    """The counters as they should be from here on; nobody counted between their making and this."""
    connection.execute("UPDATE counters SET value = (SELECT count(*) FROM tasks) WHERE name = 'accepted'")
    connection.execute(
        "UPDATE counters SET value = (SELECT count(*) FROM tasks WHERE result IS NOT NULL) "
        "WHERE name = 'finished'"
    )
    connection.execute("UPDATE counters SET value = 0 WHERE name = 'forgotten'")


def m009_states(connection: Connection) -> None:
    """How many tasks are in which state: to say so, a long queue need not be read."""
    recount_states(connection)
