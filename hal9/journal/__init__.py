"""The journal: one SQLite file per node in which nothing that was accepted gets lost.

`Journal` owns the file and its only writing thread (group commit). `outbox`, `inbox` and `dead_letters` are
plain functions over a connection, to be called from inside `Journal.write` or `Journal.read`.
"""

from hal9.journal import counts, dead_letters, failpoints, inbox, outbox
from hal9.journal.inbox import PreviousEnd
from hal9.journal.journal import Journal
from hal9.journal.migrations import MIGRATIONS
from hal9.journal.write_errors import typed_error

__all__ = [
    "MIGRATIONS",
    "Journal",
    "PreviousEnd",
    "counts",
    "dead_letters",
    "failpoints",
    "inbox",
    "outbox",
    "typed_error",
]
