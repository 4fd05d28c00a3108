"""Everything at once, for `hal9 watch`: lines in a pipe; at a terminal a full screen with keys."""

import asyncio
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from hal9.cli.common import console, view_of
from hal9.cli.tasks.board import Board, board_lines
from hal9.cli.tasks.keyboard import keyboard
from hal9.cli.tasks.live import Now, signs_of_life
from hal9.cli.tasks.render import answer_panel, event_line, short_id, trace_tree
from hal9.cli.tasks.suspending import suspending
from hal9.errors.base import Hal9Error
from hal9.journal.tasks import TERMINAL

if TYPE_CHECKING:
    from hal9.api.remote import RemoteCluster
    from hal9.cluster import Cluster

__all__ = ["follow_all", "watch_screen"]

_FIGURES_SECONDS = 1.0
_REDRAW_SECONDS = 0.25
_AGAIN_SECONDS = 2.0
_TASKS = 200


async def follow_all(cluster: "Cluster | RemoteCluster", *, where: str) -> None:
    """Show all that the cluster does, until the person leaves: a full screen, or lines where none can be."""
    out = console()
    if out.is_terminal and not out.is_dumb_terminal and sys.stdin.isatty() and sys.stdout.isatty():
        await watch_screen(cluster, where=where, out=out)
        return
    # On stderr, so that a pipe gets the lines alone.
    click.echo("Waiting for the next thing a task does; Ctrl-C ends only this view.", err=True)
    async with aclosing(signs_of_life(cluster)) as events:
        async for task_id, source, event, detail in events:
            if event != "tokens":
                out.print(event_line(task_id, source, {"event": event, **detail}))


async def watch_screen(cluster: "Cluster | RemoteCluster", *, where: str, out: Console) -> None:
    """Show everything until the person leaves; nothing of the cluster ends with it.

    Args:
        cluster: an open client.
        where: the home, or the server's URL, as the header names it.
        out: a terminal, with standard input as its keyboard.

    Raises:
        Hal9Error: the very first look failed; what fails later is told on the screen and tried again.
    """
    screen = _Screen(cluster, where=where, out=out)
    await screen.look()
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(screen.keep_fresh(group), name="fresh figures")
        with keyboard() as keys, Live(console=out, screen=True, auto_refresh=False) as live:

            def leave() -> None:
                live.stop()
                keys.give_back()

            def enter() -> None:
                keys.take()
                live.start(refresh=True)

            with suspending(leave, enter):
                await screen.show(live, keys.pressed)
        keeping.cancel()
        screen.stop_listening()


class _Screen:
    def __init__(self, cluster: "Cluster | RemoteCluster", *, where: str, out: Console) -> None:
        self._cluster = cluster
        self._out = out
        self._board = Board(where=where)
        self._now = Now()
        self._listener: asyncio.Task[None] | None = None
        self._run: tuple[object, ...] | None = None
        self._wake = asyncio.Event()
        self._followed = ""
        self._lines: list[Text] = []
        self._above = 0
        self._stuck_to_end = True

    # --- figures --------------------------------------------------------------------------------

    async def look(self) -> None:
        """Fetch the figures, and the followed task's steps."""
        found = await view_of(self._cluster, "overview", tasks=_TASKS)
        self._board.take(found, now=time.monotonic())
        self._board.doing = self._now.lines
        if self._followed:
            await self._look_at(self._followed)

    async def _look_at(self, task_id: str) -> None:
        task, steps = await self._cluster.task(task_id), await self._cluster.steps(task_id)
        over = task.state in TERMINAL
        live = {} if over else self._now.of_task(task_id)
        drawn = Group(trace_tree(task, steps, live=live), *([answer_panel(task)] if over else []))
        rows = self._out.render_lines(drawn, self._out.options, pad=False)
        self._lines = [_text(row) for row in rows]

    async def keep_fresh(self, group: asyncio.TaskGroup) -> None:
        """Look again and again; listen to whichever run of the daemon there is."""
        while True:
            self._wake.clear()
            try:
                await self.look()
                self._board.note = self._board.note.removeprefix(_LOST)
                seconds = _FIGURES_SECONDS
            except (Hal9Error, TimeoutError) as error:
                self._board.note = f"{_LOST}{' '.join(str(error).split())}"
                seconds = _AGAIN_SECONDS
            if self._board.run != self._run:
                self.stop_listening()
                self._run = self._board.run
                if self._run is not None:
                    self._listener = group.create_task(self._listen(), name="listen for progress")
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(signs_of_life(self._cluster)) as events:
                    async for task_id, source, event, detail in events:
                        self._now.take(source, event, detail, task_id=task_id)
            except (Hal9Error, KeyError):
                await asyncio.sleep(_AGAIN_SECONDS)  # the figures tell what is the matter

    def stop_listening(self) -> None:
        """The daemon that was listened to is gone."""
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        self._now = Now()

    # --- keys -----------------------------------------------------------------------------------

    async def show(self, live: Live, pressed: asyncio.Queue[str]) -> None:
        """Draw, and do what keys say, until one says to leave."""
        while True:
            live.update(self._drawn(), refresh=True)
            try:
                async with asyncio.timeout(_REDRAW_SECONDS):
                    key = await pressed.get()
            except TimeoutError:
                continue
            if key == "closed" or (key == "q" and not self._board.asking):
                return
            await self._press(key)

    async def _press(self, key: str) -> None:
        board = self._board
        board.note = ""
        if board.asking:
            task_id, board.asking = board.asking, ""
            if key in ("y", "Y"):
                await self._cancel(task_id)
        elif board.helping:
            board.helping = False
        elif key == "?":
            board.helping = True
        elif key == "c":
            self._ask(self._followed or board.chosen)
        elif self._followed:
            self._scroll(key)
        elif key == "enter" and board.chosen:
            self._followed, self._lines = board.chosen, [Text("…")]
            self._above, self._stuck_to_end = 0, True
            self._wake.set()
        else:
            board.move(self._steps(key, len(board.overview["tasks"])))

    def _steps(self, key: str, everything: int) -> int:
        screenful = max(1, self._out.height - 4)
        return {
            "up": -1, "down": 1, "page up": -screenful, "page down": screenful,
            "home": -everything, "end": everything,
        }.get(key, 0)  # fmt: skip

    def _scroll(self, key: str) -> None:
        if key == "back":
            self._followed, self._lines = "", []
            return
        last = self._last_above()
        above = (last if self._stuck_to_end else self._above) + self._steps(key, len(self._lines))
        self._above = min(max(above, 0), last)
        self._stuck_to_end = self._above == last

    def _last_above(self) -> int:
        """How far down one can go: the last line stands at the bottom."""
        return max(0, len(self._lines) - max(1, self._out.height - 2))

    def _ask(self, task_id: str) -> None:
        task = self._board.task(task_id)
        if task is None:
            self._board.note = "There is no task to cancel."
        elif task["state"] in TERMINAL:
            self._board.note = f"{short_id(task_id)} is {task['state']} already."
        else:
            self._board.asking = task_id

    async def _cancel(self, task_id: str) -> None:
        try:
            await self._cluster.cancel(task_id)
            self._board.note = f"{short_id(task_id)} is being cancelled."
        except Hal9Error as error:
            self._board.note = " ".join(str(error).split())
        self._wake.set()

    # --- drawing --------------------------------------------------------------------------------

    def _drawn(self) -> Group:
        width, height = self._out.size
        if not self._followed or self._board.helping or self._board.asking:
            return Group(*board_lines(self._board, width=width, height=height))
        room = max(1, height - 2)
        above = self._last_above() if self._stuck_to_end else min(self._above, self._last_above())
        shown = self._lines[above : above + room]
        shown += [Text("")] * (room - len(shown))
        hidden = len(self._lines) - above - room
        note = self._board.note or (f"{hidden} more lines below" if hidden > 0 else "")
        keys = Text("up/down scroll  esc back  ? help  q quit", style="reverse")
        lines = [*(one.copy() for one in shown), Text(note, style="yellow"), keys]
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return Group(*lines[:height])


_LOST = "No answer, trying again: "


def _text(row: list[Segment]) -> Text:
    return Text.assemble(*((one.text, one.style or "") for one in row if not one.control), no_wrap=True)
