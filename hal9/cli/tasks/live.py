"""Live views: one task as a growing tree, or the whole cluster line by line."""

import asyncio
import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING

from rich.live import Live

from hal9.cli.common import console
from hal9.cli.tasks.render import event_line, trace_tree
from hal9.cluster.live import live_events
from hal9.errors.base import BusError
from hal9.errors.cluster import DaemonNotRunning
from hal9.journal.tasks import TERMINAL
from hal9.signals import ProgressPayload, Signal

if TYPE_CHECKING:
    from hal9.cluster import Cluster, Home

__all__ = ["follow", "follow_all"]

_TAIL = 70
_REFRESH_SECONDS = 0.1


class _Now:
    """What neurons are doing at this moment."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def take(self, signal: Signal) -> None:
        payload = signal.payload
        if not isinstance(payload, ProgressPayload):
            return
        detail, source = payload.detail, signal.source
        if payload.event == "tokens":
            text = (self._texts.get(source, "") + str(detail.get("text", "")))[-_TAIL:]
            self._texts[source] = text
            self.lines[source] = f"{detail.get('count')} tokens  …{' '.join(text.split())}"
        elif payload.event == "thinking":
            self._texts.pop(source, None)
            self.lines[source] = "thinking"
        elif payload.event == "step":
            self.lines.pop(source, None)


async def follow(cluster: "Cluster", task_id: str) -> None:
    """Draw a task's tree until the task has its result."""
    now = _Now()
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(_listen(cluster.home, task_id, now), name="listen for progress")
        with Live(console=console(), refresh_per_second=10, transient=False) as live:
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


async def _listen(home: "Home", task_id: str, now: _Now) -> None:
    """Collect progress; without a broker in reach the tree still grows from the journal."""
    with contextlib.suppress(DaemonNotRunning, BusError):
        async with aclosing(live_events(home, task_id=task_id)) as events:
            async for signal in events:
                now.take(signal)


async def follow_all(home: "Home") -> None:
    """Print everything the cluster reports, until interrupted."""
    out = console()
    async with aclosing(live_events(home)) as events:
        async for signal in events:
            if isinstance(signal.payload, ProgressPayload) and signal.payload.event != "tokens":
                detail = {"event": signal.payload.event, **signal.payload.detail}
                out.print(event_line(signal.task_id, signal.source, detail))
