"""The record beside a home's journal: kept up to date by the daemon, looked at before anything begins."""

import logging
from collections.abc import Callable

from hal9.cluster.home import Home
from hal9.database import Connection
from hal9.errors.journal import JournalIncomplete, JournalUnwritable
from hal9.journal import Journal
from hal9.journal.counts import (
    Counts,
    compare,
    held_rows,
    read_counts,
    read_record,
    recount_states,
    write_record,
)

__all__ = ["JournalRecord", "require_complete"]

_log = logging.getLogger("hal9.cluster.journal")


def require_complete(home: Home, connection: Connection) -> None:
    """Compare the journal with the record beside it.

    Raises:
        JournalIncomplete: it holds less than was accepted.
    """
    missing = compare(read_record(home.journal), read_counts(connection), held_rows(connection))
    if missing:
        raise JournalIncomplete(path=str(home.journal), missing=missing)


class JournalRecord:
    """What the daemon does with the record.

    Args:
        home: whose journal.
        journal: open.
        alert: tells the user of an accepted loss.
    """

    def __init__(self, home: Home, journal: Journal, *, alert: Callable[[str], None]) -> None:
        self._home = home
        self._journal = journal
        self._alert = alert
        self._written: Counts | None = None
        self._complaint = ""

    async def check(self, *, accept_loss: bool) -> None:
        """Before anything begins.

        Raises:
            JournalIncomplete: it holds less than was accepted, and that is not accepted.
        """
        try:
            await self._journal.read(lambda connection: require_complete(self._home, connection))
        except JournalIncomplete as error:
            if not accept_loss:
                raise
            self._alert(f"going on without what was lost: {error.missing}")
            await self._journal.write(_settle)
        await self.write()

    async def write(self) -> None:
        """Bring the record up to date; a disk that is full is told once."""
        try:
            counts = self._journal.read_now(read_counts)
        except JournalUnwritable:
            return  # PostgreSQL is away; the record stays behind, never ahead
        if counts == self._written:
            return
        try:
            write_record(self._home.journal, counts)
        except OSError as error:
            if str(error) != self._complaint:
                _log.error("the record beside the journal cannot be written: %s", error)
            self._complaint = str(error)
        else:
            self._written, self._complaint = counts, ""


def _settle(connection: Connection) -> None:
    """Count what is there as all there was."""
    connection.execute(
        "UPDATE counters SET value = (SELECT count(*) FROM tasks) "
        "+ (SELECT value FROM counters WHERE name = 'forgotten') WHERE name = 'accepted'"
    )
    recount_states(connection)
