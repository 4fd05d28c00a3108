"""One task as a growing tree, and the signs of life that any view shows."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from rich.live import Live

from hal9.cli.common import console, goes_on
from hal9.cli.tasks.render import trace_tree
from hal9.cli.tasks.suspending import suspending
from hal9.errors.base import BusError
from hal9.errors.cluster import DaemonNotRunning
from hal9.journal.tasks import TERMINAL
from hal9.signals import ProgressPayload

if TYPE_CHECKING:
    from hal9.api.remote import RemoteCluster
    from hal9.cluster import Cluster

__all__ = ["Now", "follow", "signs_of_life"]

_TAIL = 70
_REFRESH_SECONDS = 0.1


class Now:
    """What neurons are doing at this moment."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._tasks: dict[str, str] = {}

    def take(self, source: str, event: str, detail: dict[str, Any], *, task_id: str = "") -> None:
        """One sign of life."""
        self._tasks[source] = task_id
        if event == "tokens":
            text = (self._texts.get(source, "") + str(detail.get("text", "")))[-_TAIL:]
            self._texts[source] = text
            self.lines[source] = f"{detail.get('count')} tokens  …{' '.join(text.split())}"
        elif event == "thinking":
            self._texts.pop(source, None)
            self.lines[source] = "thinking"
        elif event == "step":
            self.lines.pop(source, None)

    def of_task(self, task_id: str) -> dict[str, str]:
        """Only what is done for one task."""
        return {name: text for name, text in self.lines.items() if self._tasks.get(name) == task_id}


async def follow(cluster: "Cluster | RemoteCluster", task_id: str) -> None:
    """Draw a task's tree until the task has its result."""
    with goes_on(task_id):
        await _draw(cluster, task_id)


async def _draw(cluster: "Cluster | RemoteCluster", task_id: str) -> None:
    now = Now()
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(_listen(cluster, task_id, now), name="listen for progress")
        with (
            Live(console=console(), refresh_per_second=10, transient=False) as live,
            suspending(live.stop, live.start),
        ):
            while True:
                task = await cluster.task(task_id)
                finished = task.state in TERMINAL
                live.update(
                    trace_tree(task, await cluster.steps(task_id), live={} if finished else now.lines),
                    refresh=True,
                )
                if finished:
                    break
                await asyncio.sleep(_REFRESH_SECONDS)
        listener.cancel()
    if not console().is_terminal:
        console().print()


async def _listen(cluster: "Cluster | RemoteCluster", task_id: str, now: Now) -> None:
    """Collect progress; without a broker in reach the tree still grows from the journal."""
    with contextlib.suppress(DaemonNotRunning, BusError):
        async with aclosing(signs_of_life(cluster, task_id)) as events:
            async for _, source, event, detail in events:
                now.take(source, event, detail)


async def signs_of_life(
    cluster: "Cluster | RemoteCluster", task_id: str | None = None
) -> AsyncGenerator[tuple[str, str, str, dict[str, Any]], None]:
    """Signs of life as (task, source, event, detail), from the broker here or over HTTP."""
    from hal9.cluster.client import Cluster

    if isinstance(cluster, Cluster):
        from hal9.cluster.live import live_events

        async with aclosing(live_events(cluster.home, task_id=task_id)) as signals:
            async for signal in signals:
                if isinstance(signal.payload, ProgressPayload):
                    yield signal.task_id, signal.source, signal.payload.event, signal.payload.detail
        return
    async with aclosing(cluster.events(task_id, progress=True)) as events:
        async for kind, data in events:
            if kind == "progress":
                yield data["task_id"], data["source"], data["event"], data["detail"]
