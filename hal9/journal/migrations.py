"""The journal's schema, one numbered function per change; released ones are never edited."""

from hal9.database import Connection, Migration
from hal9.journal.events import m006_events
from hal9.journal.frames import m010_frames
from hal9.journal.hosts import m008_hosts
from hal9.journal.task_schema import m002_tasks, m004_counters, m007_recount, m009_states
from hal9.journal.turns import m005_turns

__all__ = ["MIGRATIONS"]


def m001_messages(connection: Connection) -> None:
    """Outbox, inbox, dead letters. Times are wall-clock seconds since the epoch."""
    connection.execute(
        """
        CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            source TEXT NOT NULL,
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            task_id TEXT NOT NULL,
            body BLOB NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            attempt INTEGER NOT NULL
        ) STRICT
        """
    )
    connection.execute(
        """
        CREATE TABLE inbox (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            source TEXT NOT NULL,
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            task_id TEXT NOT NULL,
            body BLOB,
            state TEXT NOT NULL CHECK (state IN ('new', 'working', 'done')),
            owner TEXT,
            lease_until REAL,
            attempts INTEGER NOT NULL,
            not_before REAL NOT NULL DEFAULT 0,
            received_at REAL NOT NULL,
            finished_at REAL
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX inbox_open ON inbox (target, seq) WHERE state <> 'done'")
    connection.execute("CREATE INDEX inbox_finished ON inbox (finished_at) WHERE state = 'done'")
    connection.execute(
        """
        CREATE TABLE dead_letters (
            seq INTEGER PRIMARY KEY,
            signal_id TEXT,
            topic TEXT NOT NULL,
            stage TEXT NOT NULL CHECK (stage IN ('receive', 'handle', 'send')),
            reason TEXT NOT NULL,
            detail TEXT NOT NULL,
            excerpt BLOB NOT NULL,
            size INTEGER NOT NULL,
            at REAL NOT NULL
        ) STRICT
        """
    )


def m003_blame(connection: Connection) -> None:
    """How often the process died in a signal's handling and why; who a task was given to."""
    connection.execute("ALTER TABLE inbox ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE inbox ADD COLUMN blame TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE tasks ADD COLUMN root_target TEXT")


MIGRATIONS: tuple[Migration, ...] = (
    m001_messages,
    m002_tasks,
    m003_blame,
    m004_counters,
    m005_turns,
    m006_events,
    m007_recount,
    m008_hosts,
    m009_states,
    m010_frames,
)
