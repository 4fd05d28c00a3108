"""What the full screen of `hal9 watch` knows and shows: figures in, lines out, nothing in between."""

import textwrap
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from hal9.cli.tasks.render import short_id, state_mark
from hal9.text import span_in_words

__all__ = ["Board", "board_lines"]

_WINDOW_SECONDS = 60.0
_BAR = 16
_WIDE = 64
_ALERTS = 3
_OPEN = ("queued", "running")
_COLOURS = {"ready": "green", "down": "red", "stuck": "red", "no_broker": "red"}
_KEYS = (
    ("up, down, j, k", "choose a task"),
    ("page up, page down, g, G", "by a screen; first, last"),
    ("enter", "follow the chosen task"),
    ("esc, backspace, left", "back to the list"),
    ("c", "cancel the task (asks first)"),
    ("?", "this help"),
    ("q, Ctrl-C", "leave; the cluster and its tasks go on"),
)


@dataclass(slots=True, kw_only=True)
class Board:
    """The newest figures, what is chosen, and what was said to the person last."""

    where: str
    overview: dict[str, Any] = field(default_factory=dict)
    doing: dict[str, str] = field(default_factory=dict)
    chosen: str = ""
    asking: str = ""
    note: str = ""
    helping: bool = False
    _spent: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, overview: dict[str, Any], *, now: float) -> None:
        """New figures (the view `overview`); the chosen task stays chosen."""
        self.overview = overview
        if overview["spent"] is not None:
            self._spent.append((now, overview["spent"]["tokens"]))
        while len(self._spent) > 1 and self._spent[0][0] < now - _WINDOW_SECONDS:
            self._spent.popleft()
        ids = [one["id"] for one in self.tasks]
        if self.chosen not in ids:
            self.chosen = ids[0] if ids else ""

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """Those that wait or run first, then the others; newest first."""
        found = self.overview["tasks"]
        return sorted(found, key=lambda one: one["state"] not in _OPEN)

    @property
    def run(self) -> tuple[Any, ...] | None:
        """What tells one run of the daemon from the next; None while it is down."""
        status = self.overview["status"]
        if status["state"] in ("down", "starting"):
            return None
        return status.get("pid"), status.get("started_at")

    def task(self, task_id: str) -> dict[str, Any] | None:
        """One of the listed tasks."""
        return next((one for one in self.overview["tasks"] if one["id"] == task_id), None)

    def move(self, by: int) -> None:
        """Choose another task, so many further down."""
        ids = [one["id"] for one in self.tasks]
        if ids:
            place = ids.index(self.chosen) if self.chosen in ids else 0
            self.chosen = ids[min(max(place + by, 0), len(ids) - 1)]

    def tokens_per_second(self) -> float:
        """Over the last minute, or as long as this has been watched."""
        if len(self._spent) < 2:
            return 0.0
        (first, before), (last, after) = self._spent[0], self._spent[-1]
        return (after - before) / max(last - first, 1.0)


def board_lines(board: Board, *, width: int, height: int) -> list[Text]:
    """The whole screen: exactly `height` lines, none wider than `width`."""
    head = _header(board, width)
    if board.helping:
        middle = [Text(""), Text("Keys", style="bold"), *_help(width)]
    else:
        head += [*_caps(board, width), Text("")]
        middle = [*_neurons(board, most=max(2, height // 5)), Text("")]
        middle += _tasks(board, width, height - len(head) - len(middle) - 2)
    shown = [*head, *middle][: max(height - 2, 1)]
    shown += [Text("")] * (height - 2 - len(shown))
    shown += _footer(board, width)
    for line in shown:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return shown[:height]


def _header(board: Board, width: int) -> list[Text]:
    status = board.overview["status"]
    state = str(status["state"])
    line = Text.assemble(("HAL9 ", "bold"), ("● ", _COLOURS.get(state, "yellow")), state.replace("_", " "))
    if board.run is not None and status.get("started_at"):
        line.append(f" {span_in_words(max(0.0, time.time() - status['started_at']))}")
    line.append(f"  {board.where}", style="dim")
    counts = status["tasks"]
    figures = [f"{counts.get(one, 0)} {one}" for one in ("running", "queued", "done", "failed")]
    figures.append(f"{board.tokens_per_second():.1f} tokens/s")
    rows = [figures] if width >= _WIDE else [figures[:3], figures[3:]]
    lines = [line, *(Text(", ".join(row)) for row in rows)]
    if status.get("mind") and board.run is not None:
        lines.append(Text(f"model {status['mind']}", style="dim"))
    lines += [Text(one, style="bold yellow") for one in _waiting(board)]
    for one in (status.get("alerts") or [])[:_ALERTS]:
        wrapped = textwrap.wrap(f"! {one}", width=width, max_lines=2, placeholder="…", subsequent_indent="  ")
        lines += [Text(row, style="yellow") for row in wrapped]
    return lines


def _waiting(board: Board) -> list[str]:
    """What waits for a person, and which command answers it."""
    kinds = (("question", board.overview["questions"], "answer"),
             ("change", board.overview["approvals"], "approvals"))  # fmt: skip
    return [
        f"{number} {kind}{'s' if number > 1 else ''} for you: `hal9 {command}`"
        for kind, number, command in kinds
        if number
    ]


def _caps(board: Board, width: int) -> list[Text]:
    spent = board.overview["spent"]
    if spent is None:
        return [Text("Nothing spent yet.", style="dim")]
    dollars = "price unknown" if spent["usd"] is None else f"${spent['usd']:.4f}" if spent["usd"] else "$0"
    lines = [Text(f"Spent {spent['tokens']:,} tokens, {dollars} in all")]
    for one in board.overview["caps"]:
        share = one["used"] / one["limit"] if one["limit"] else 1.0
        amount = f"{one['used']:,.0f} of {one['limit']:,.0f} {one['kind']}"
        if one["kind"] == "usd":
            amount = f"${one['used']:,.2f} of ${one['limit']:,.2f}"
        filled = min(_BAR, round(share * _BAR))
        bar = f"{'█' * filled}{'░' * (_BAR - filled)} " if width >= _WIDE else ""
        style = "red" if share >= 1 else "yellow" if share >= 0.8 else ""
        lines.append(Text(f"  {one['scope']:<4} {bar}{share:4.0%}  {amount}", style=style))
    return lines


def _neurons(board: Board, *, most: int) -> list[Text]:
    status = board.overview["status"]
    found = dict(status.get("neurons", {})) if board.run is not None else {}
    for node in dict(status.get("nodes", {})).values():
        found.update(node.get("neurons", {}))
    if not found:
        return [Text("The cluster is down: `hal9 up` starts it", style="yellow")]
    # What was begun before this began to listen is not known; then nothing is said of it.
    idle = "" if status["tasks"].get("running") else "waits for work"
    names = sorted(found, key=lambda name: (name not in board.doing, -found[name], name))
    lines = [
        Text.assemble(
            ("● " if name in board.doing else "· ", "cyan" if name in board.doing else "dim"),
            f"L{found[name]} {name}  ",
            (board.doing.get(name, idle), "dim"),
        )
        for name in names[:most]
    ]
    if len(names) > most:
        lines.append(Text(f"  and {len(names) - most} more", style="dim"))
    return lines


def _tasks(board: Board, width: int, room: int) -> list[Text]:
    tasks = board.tasks
    if not tasks:
        return [
            Text("No tasks yet; this waits for the first:"),
            Text('  hal9 submit "…"', style="bold"),
            Text("in another terminal or the dashboard."),
        ]
    place = next((number for number, one in enumerate(tasks) if one["id"] == board.chosen), 0)
    room = max(room, 1)
    first = min(max(0, place - room // 2), max(0, len(tasks) - room))
    return [_task(one, width, chosen=one["id"] == board.chosen) for one in tasks[first : first + room]]


def _task(one: dict[str, Any], width: int, *, chosen: bool) -> Text:
    now = time.time()
    since = one["started_at"] if one["state"] == "running" else one["created_at"]
    age = span_in_words(max(0.0, now - (since or one["created_at"])), decimals=0)
    objective = " ".join(str(one["objective"]).split())
    reason = one["stop_reason"] if one["stop_reason"] not in (None, "done") else ""
    line = Text("> " if chosen else "  ")
    line.append_text(Text.from_markup(state_mark(one["state"])))
    # Where there is no room for it, the line below the list names the chosen one.
    line.append(f" {short_id(one['id'])}" if width >= _WIDE else "", style="dim")
    line.append(f" {age:>6}  ", style="dim")
    line.append(f"{reason}: " if reason else "", style="red" if one["state"] == "failed" else "yellow")
    line.append(objective)
    if chosen:
        line.stylize("bold")
    return line


def _help(width: int) -> list[Text]:
    lines = []
    for keys, what in _KEYS:
        if width >= _WIDE:
            lines.append(Text.assemble((f"  {keys:<26}", "bold"), what))
        else:
            lines += [Text(f"  {keys}", style="bold"), Text(f"      {what}")]
    return lines


def _footer(board: Board, width: int) -> list[Text]:
    """What was said last (or the chosen task's id), and the keys."""
    if board.asking:
        question = f"Cancel {short_id(board.asking)}? y or n"
        return [Text(question, style="bold yellow"), Text("")]
    named = f"task {short_id(board.chosen)}" if board.chosen else ""
    note = Text(board.note, style="yellow") if board.note else Text(named, style="dim")
    if board.helping:
        return [note, Text("any key: back", style="reverse")]
    keys = "up/down choose  enter follow  c cancel  ? help  q quit"
    return [note, Text(keys if width >= _WIDE else "enter follow  c cancel  ? help  q quit", style="reverse")]
