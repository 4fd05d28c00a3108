"""A turn's log in the journal: each reply and result is committed before the next thing begins."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from hal9.clock import Clock
from hal9.database import Connection
from hal9.journal import Journal, inbox, tasks, turns
from hal9.journal.turns import CallUnderWay, EntryKind, TurnEntry
from hal9.minds.protocol import Message, Reply, ToolCall
from hal9.signals import StepRecord
from hal9.text import clean_text
from hal9.tools.observation import Observation

__all__ = ["PendingCall", "TurnLog", "body_of", "call_from", "observation_from"]


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that the last reply asks for and that has no result yet; `label` names it within the turn."""

    call: ToolCall
    label: str


@dataclass(slots=True)
class TurnLog:
    """The log of one turn; `open()` reads what an earlier process left.

    Attributes:
        journal: None keeps the log in memory only (a rehearsal is not taken up again).
        entries: all so far, in order; entry N has position N.
        under_way: the call that was running when an earlier process ended.
        waiting_steps: records of other things the turn did; they are committed with the next entry.
    """

    journal: Journal | None
    signal_id: str
    task_id: str
    clock: Clock
    entries: list[TurnEntry] = field(default_factory=list)
    under_way: CallUnderWay | None = None
    waiting_steps: list[StepRecord] = field(default_factory=list)
    _has_row: bool = field(default=False, init=False)  # of a call that no reply began
    _cleared: bool = field(default=False, init=False)  # earlier deaths were taken back
    _kinds: "_Kinds" = field(default_factory=lambda: _Kinds([]), init=False)

    async def open(self) -> None:
        """Read the log."""

        def read(connection: Connection) -> tuple[list[TurnEntry], CallUnderWay | None]:
            return (
                turns.entries_of_signal(connection, self.signal_id),
                turns.call_under_way(connection, self.signal_id),
            )

        journal, signal_id = self.journal, self.signal_id
        if journal is not None and journal.read_now(lambda connection: turns.has_log(connection, signal_id)):
            self.entries, self.under_way = await journal.read(read)
            self._has_row = self.under_way is not None

    async def add_reply(self, reply: Reply, step: StepRecord, *, begins: str = "") -> None:
        """Commit what the mind said; with it, that its call of label `begins` is about to run."""
        body = {
            "text": clean_text(reply.text),
            "tool_calls": [body_of(call) for call in reply.tool_calls],
            "echo": reply.echo,
            "stop_reason": reply.stop_reason,
            "mind": reply.mind,
            "usage": body_of(reply.usage),
            "begins": begins,
        }
        await self._add("reply", body, step=step)

    async def add_result(
        self, pending: PendingCall, observation: Observation, step: StepRecord, **more: Any
    ) -> None:
        """Commit how a call ended."""
        body = {
            "label": pending.label,
            "call_id": pending.call.id,
            "tool": pending.call.name,
            "arguments": pending.call.arguments,
            "observation": body_of(observation),
            **more,
        }
        await self._add("result", body, step=step, ends_call=True, moved_on=not observation.interrupted)

    @property
    def acted(self) -> bool:
        """Whether the mind was asked and something came of it."""
        return any(entry.kind != "note" for entry in self.entries)

    @property
    def has_results(self) -> bool:
        """Whether any call was carried out."""
        return any(entry.kind == "result" for entry in self.entries)

    async def begin_anew(self, why: str, *, keep: Sequence[str]) -> None:
        """Forget all but notes of these kinds: what was done is not there any more. The trace keeps it."""
        notes = [entry.body for entry in self.entries if entry.kind == "note" and entry.body["what"] in keep]
        notes.append({"what": "anew", "why": why})
        now = self.clock.now()
        kept = [TurnEntry(at, "note", body, now, self.signal_id) for at, body in enumerate(notes)]

        def write(connection: Connection) -> None:
            turns.begin_anew(connection, signal_id=self.signal_id, task_id=self.task_id, kept=kept)

        await self._write(write)
        self.entries, self.under_way = kept, None

    async def add_note(self, what: str, **body: Any) -> None:
        """Commit something that is neither: words to the model, a fold of the context."""
        await self._add("note", {"what": what, **body})

    async def begin(self, label: str) -> None:
        """Commit that a call is about to run."""
        now = self.clock.now()
        self._has_row = True
        await self._write(lambda connection: turns.begin_call(connection, self.signal_id, label, now=now))

    def pending(self) -> list[PendingCall]:
        """Calls of the last reply without a result."""
        last = next((entry for entry in reversed(self.entries) if entry.kind == "reply"), None)
        if last is None:
            return []
        done = {entry.body["label"] for entry in self.entries[last.position :] if entry.kind == "result"}
        calls = [
            PendingCall(call_from(body), f"{last.position}.{index}")
            for index, body in enumerate(last.body["tool_calls"])
        ]
        return [one for one in calls if one.label not in done]

    def approved_paths(self) -> frozenset[str]:
        """Files that a call changed to which a person said yes."""
        return frozenset(
            posixpath.normpath(str(entry.body["arguments"].get("path", "")))
            for entry in self.entries
            if entry.kind == "result"
            and entry.body["observation"]["ok"]
            and entry.body["arguments"].get("path")
            and entry.body["decision"]["verdict"] == "allow"
            and entry.body["decision"]["source"]
        )

    def notes(self, what: str) -> list[TurnEntry]:
        """Notes of a kind."""
        return list(self._by_kind().notes.get(what, ()))

    @property
    def replies(self) -> int:
        """How many replies there are."""
        return self._by_kind().replies

    def _by_kind(self) -> "_Kinds":
        if self._kinds.entries is not self.entries:
            self._kinds = _Kinds(self.entries)
        return self._kinds.brought_up()

    async def _add(
        self,
        kind: EntryKind,
        body: dict[str, Any],
        *,
        step: StepRecord | None = None,
        ends_call: bool = False,
        moved_on: bool = False,
    ) -> None:
        steps = [*self.waiting_steps, *([step] if step is not None else [])]
        entry = TurnEntry(len(self.entries), kind, body, self.clock.now(), self.signal_id)
        ends_call = ends_call and self._has_row
        moved_on = moved_on and not self._cleared

        def write(connection: Connection) -> None:
            turns.add_entry(connection, signal_id=self.signal_id, task_id=self.task_id, entry=entry)
            tasks.insert_steps(connection, steps)
            if ends_call:
                turns.end_call(connection, self.signal_id)
            if moved_on:
                inbox.moved_on(connection, self.signal_id)

        await self._write(write)
        self._has_row = self._has_row and not ends_call
        self._cleared = self._cleared or moved_on
        self.waiting_steps.clear()
        self.entries.append(entry)

    async def _write(self, write: Callable[[Connection], None]) -> None:
        if self.journal is not None:
            await self.journal.write(write)


@dataclass(slots=True)
class _Kinds:
    """What a log holds, by kind: asked for at every step, so that only new entries are looked at."""

    entries: list[TurnEntry]
    seen: int = 0
    replies: int = 0
    notes: dict[str, list[TurnEntry]] = field(default_factory=dict)

    def brought_up(self) -> Self:
        """With the newest entries."""
        for entry in self.entries[self.seen :]:
            if entry.kind == "reply":
                self.replies += 1
            elif entry.kind == "note":
                self.notes.setdefault(entry.body["what"], []).append(entry)
        self.seen = len(self.entries)
        return self


def body_of(part: Any) -> dict[str, Any]:
    """A flat dataclass as the log holds it; nothing in it is copied."""
    return {one.name: getattr(part, one.name) for one in fields(part)}


def call_from(body: dict[str, Any]) -> ToolCall:
    """A tool call as the log holds it."""
    return ToolCall(**body)


def observation_from(body: dict[str, Any]) -> Observation:
    """An observation as the log holds it."""
    return Observation(**body)


def reply_message(entry: TurnEntry) -> Message:
    """A reply of the log as the assistant's turn."""
    return Message(
        "assistant",
        entry.body["text"],
        tool_calls=tuple(call_from(body) for body in entry.body["tool_calls"]),
        echo=entry.body["echo"],
    )
