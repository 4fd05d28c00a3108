"""What learning does by itself: notice what others wrote, move changes along, keep the index of vectors."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from hal9.clock import Clock
from hal9.database import PostgresPlace
from hal9.errors.base import DatabaseError
from hal9.learning import Gate, PromptStore
from hal9.memory import MemoryStore

__all__ = ["LearningLoops"]

_log = logging.getLogger("hal9.cluster.services.learning_loops")
_REFRESH_SECONDS = 1.0
_INDEX_SECONDS = 60.0


class LearningLoops:
    """Loops; each runs for ever.

    Args:
        prompts: the promptgrams in force.
        gate: what brings changes into force.
        changed: set whenever something happened that may matter to the gate.
        clock: time.
        alert: tells people.
    """

    def __init__(
        self,
        prompts: PromptStore,
        gate: Gate,
        *,
        changed: asyncio.Event,
        clock: Clock,
        alert: Callable[[str], None],
    ) -> None:
        self._prompts = prompts
        self._gate = gate
        self._changed = changed
        self._clock = clock
        self._alert = alert

    async def refresh(self) -> None:
        """Notice what another process of this home has written, prompts above all; runs for ever."""
        while True:
            await self._clock.sleep(_REFRESH_SECONDS)
            if await asyncio.to_thread(self._prompts.reload_if_changed):
                self._changed.set()

    async def move_changes(self) -> None:
        """Move changes along whenever something has happened that may matter to them; runs for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while await self._gate.step():
                    continue
            except Exception as error:  # noqa: BLE001 - a change that cannot be moved must not end the daemon
                _log.exception("gate")
                self._alert(f"the gate stopped short: {type(error).__name__}: {error}")

    async def keep_index(self, store: MemoryStore, above: Callable[[], int]) -> None:
        """Keep the index of very many vectors on PostgreSQL; runs for ever.

        Args:
            store: the memory; its own connection is not used.
            above: how many vectors are compared in the process.
        """
        place, embedder = store.place, store.embedder
        if not isinstance(place, PostgresPlace) or embedder is None:
            await asyncio.Event().wait()
            return
        from hal9.memory.store.postgres_vectors import VectorIndexer  # noqa: PLC0415 - on PostgreSQL only

        told = ""
        while True:
            indexer = VectorIndexer(place, embedder.model_id, above=above())
            try:
                report = await asyncio.to_thread(indexer.keep)
            except (sqlite3.OperationalError, DatabaseError) as error:
                _log.warning("the index of vectors waits: %s", error)
            else:
                if report.state == "unavailable" and report.detail != told:
                    told = report.detail
                    self._alert(
                        f"{report.vectors} memories are more than memory.index_above, but they cannot be "
                        f"indexed: {told}; every process compares them itself, which takes memory"
                    )
            finally:
                indexer.stop()  # its thread must not outlive the daemon
            await self._clock.sleep(_INDEX_SECONDS)
