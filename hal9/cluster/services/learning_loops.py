"""What learning does by itself: notice what others wrote, and move changes along."""

import asyncio
import logging
from collections.abc import Callable

from hal9.clock import Clock
from hal9.learning import Gate, PromptStore

__all__ = ["LearningLoops"]

_log = logging.getLogger("hal9.cluster.services.learning_loops")
_REFRESH_SECONDS = 1.0


class LearningLoops:
    """Two loops; each runs for ever.

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
