"""Error gradients that arrive for neurons of this process, and who waits for the last of them."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from hal9.bus import Outcome
from hal9.database import Connection
from hal9.journal import Journal, tasks
from hal9.learning import LearningEngine, TaskPath
from hal9.learning.gradients.facts import GradientFacts
from hal9.signals import ErrorGradient, Signal

__all__ = ["GradientIntake"]


class GradientIntake:
    """Lets neurons learn from gradients.

    Args:
        engine: what learns.
        journal: steps of tasks.
        whole_tasks: whether the journal has all steps of a task, or only this process's.
        changed: set whenever something happened that may matter to the gate.
    """

    def __init__(
        self, engine: LearningEngine, journal: Journal, *, whole_tasks: bool, changed: asyncio.Event
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._whole_tasks = whole_tasks
        self._changed = changed
        self._settled: dict[str, asyncio.Event] = {}

    async def on_gradient(self, signal: Signal, gradient: ErrorGradient) -> Outcome:
        """A backward signal for a neuron of this process."""
        steps = await self._journal.read(lambda connection: tasks.steps_of(connection, signal.task_id))
        recorded = TaskPath.recorded(steps) if self._whole_tasks else None
        signals = await self._engine.on_gradient(signal, gradient, recorded=recorded)
        self._changed.set()

        def settled(_connection: Connection) -> None:
            if not signals:
                root = GradientFacts.of(gradient).root
                loop.call_soon_threadsafe(self._arrived, root)

        loop = asyncio.get_running_loop()
        return Outcome(send=tuple(signals), writes=(settled,))

    def _arrived(self, root: str) -> None:
        event = self._settled.get(root)
        if event is not None:
            event.set()

    @contextmanager
    def expecting(self, root: str) -> Generator[asyncio.Event, None, None]:
        """An event that is set when a gradient that follows from `root` has reached its end."""
        event = self._settled[root] = asyncio.Event()
        try:
            yield event
        finally:
            del self._settled[root]
