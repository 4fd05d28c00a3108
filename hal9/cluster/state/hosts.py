"""Several daemons, one cluster: this host's place among them.

Every daemon takes up tasks and works on them. What must be done once (deadlines, requests, learning,
canaries, consolidation, workloads, forgetting) is done by the one that leads. Each says every two seconds
that it lives; one that has not for seven is taken for dead: its work is taken up anew, and another leads.
All count by the server's clock: deadlines are the same everywhere, whatever the hosts' own clocks say.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from hal9.clock import Clock, SteadyClock
from hal9.cluster.home import shared_node
from hal9.database import Connection, on_postgres
from hal9.errors.journal import JournalUnwritable
from hal9.journal import Journal, hosts, inbox
from hal9.journal.inbox import PreviousEnd

__all__ = ["BEAT_SECONDS", "SILENT_SECONDS", "HostRegistry"]

_log = logging.getLogger("hal9.cluster.hosts")

BEAT_SECONDS = 2.0
_AHEAD_SECONDS = 1.0
"""A clock that differs by less is left alone: the answer of a busy server takes its time."""
SILENT_SECONDS = 7.0


class HostRegistry:
    """Says that this host lives, sees who does not, and knows whether this one leads.

    Args:
        journal: shared or not; alone on SQLite, this host always leads.
        name: of the host, for people.
        home: the home's id.
        clock: time.
        running: how many signals this host works on now.
        on_death: called after another host was found dead and its work freed.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        name: str,
        home: str,
        clock: Clock,
        running: Callable[[], int],
        on_death: Callable[[], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self.name = name
        self._home = home
        self._clock = clock
        self._running = running
        self._on_death = on_death
        self._leads_until = 0.0
        self._ahead = 0.0
        self.draining = False
        self.nodes: dict[str, bool] = {}
        """The other hosts' daemons by name, as long as they live, and whether they take up nothing new."""
        self._changed = asyncio.Event()

    @property
    def shared(self) -> bool:
        """Whether there may be other hosts."""
        return self._journal.shared

    @property
    def leads(self) -> bool:
        """Whether this host does what only one may do; never longer than it could prove to the others."""
        return not self._journal.shared or self._clock.monotonic() < self._leads_until

    async def join(self) -> None:
        """Say for the first time that this host lives; before it works on anything."""
        if self._journal.shared:
            await self._beat()

    async def leave(self) -> None:
        """This host ends in order."""
        if not self._journal.shared:
            return
        boot_id = self._journal.boot_id
        try:
            await self._journal.write(lambda connection: hosts.forget_host(connection, boot_id))
        except JournalUnwritable as error:
            _log.warning("%s", error)  # the others will notice by themselves

    async def run(self) -> None:
        """Go on saying so, for ever; at once no more than that on SQLite."""
        while self._journal.shared:
            await self._clock.sleep(BEAT_SECONDS)
            try:
                await self._beat()
            except JournalUnwritable as error:
                _log.warning("%s", error)
        await asyncio.Event().wait()

    async def _beat(self) -> None:
        begun = self._clock.monotonic()
        drain, gone, leads, living = await self._journal.write(self._say)
        if abs(self._ahead) > _AHEAD_SECONDS and isinstance(self._clock, SteadyClock):
            _log.warning("this machine's clock is %+.1f s off the database's, whose time counts", self._ahead)
            self._clock.correct(-self._ahead)
        self.nodes = {shared_node(one.home): one.draining for one in living if one.home != self._home}
        if drain != self.draining:
            _log.info("draining" if drain else "working again")
        self.draining = drain
        # Counted from before the question: on this clock the promise ends no later than on the server's.
        self._leads_until = begun + SILENT_SECONDS if leads else 0.0
        self._changed.set()
        self._changed = asyncio.Event()
        if gone:
            _log.warning("%d hosts have gone silent; their work is taken up anew", len(gone))
            await self._on_death()

    def _say(self, connection: Connection) -> tuple[bool, list[str], bool, list[hosts.HostRow]]:
        now = connection.server_time() if on_postgres(connection) else time.time()
        self._ahead = self._clock.now() - now
        boot_id, until = self._journal.boot_id, now + SILENT_SECONDS
        row = hosts.HostRow(
            boot_id=boot_id,
            name=self.name,
            home=self._home,
            started_at=now,
            seen_at=now,
            until=until,
            draining=False,
            running=self._running(),
            leads=False,
        )
        drain, gone = hosts.beat(connection, row, now=now)
        leads = hosts.take_lead(connection, boot_id, now=now, until=until, wanted=not drain)
        if gone:
            inbox.recover(connection, owner=boot_id, end=PreviousEnd(), others=hosts.living(connection))
        return drain, gone, leads, hosts.list_hosts(connection)

    async def while_leading(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop whenever this host leads, and only then; runs for ever."""
        if not self._journal.shared:
            return await run()
        while True:
            while not self.leads:
                await self._changed.wait()
            task = asyncio.ensure_future(run())
            try:
                while self.leads:
                    done, _ = await asyncio.wait((task,), timeout=BEAT_SECONDS / 4)
                    if done:
                        return await task
                _log.info("another host leads now")
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
