"""A turn's log: what was under way when the process ended, whichever way it was recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from hal9.clock import SystemClock
from hal9.database import Connection
from hal9.journal import Journal, turns
from hal9.minds.protocol import Reply, ToolCall, Usage
from hal9.signals import StepRecord, new_id
from hal9.tools.observation import Observation
from hal9.tools.turn_log import TurnLog


def step(kind: str) -> StepRecord:
    """A record of a step."""
    named: dict[str, Any] = {"task_id": "t", "signal_id": "s", "neuron": "n", "layer": 2, "kind": kind}
    return StepRecord.model_validate({"id": new_id(now=0.0), "started_at": 0.0, "ended_at": 1.0, **named})


def asked(*names: str) -> Reply:
    """A reply that calls these tools."""
    calls = tuple(ToolCall(id=name, name=name, arguments={}) for name in names)
    return Reply("", "m", Usage(prompt_tokens=1, completion_tokens=1), tool_calls=calls)


def rows(connection: Connection) -> int:
    """Calls with a row of their own."""
    return int(connection.execute("SELECT count(*) FROM calls_under_way").fetchone()[0])


async def reopened(journal: Journal) -> TurnLog:
    """The log as the next process finds it."""
    log = TurnLog(journal, "s", "t", SystemClock())
    await log.open()
    return log


async def test_the_first_call_is_under_way_from_its_reply_on(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db") as journal:
        log = await reopened(journal)
        await log.add_reply(asked("bash", "read"), step("think"), begins="0.0")
        found = await reopened(journal)
        assert found.under_way is not None
        assert (found.under_way.label, found.under_way.started_at) == ("0.0", log.entries[0].at)
        await log.add_result(log.pending()[0], Observation(text="done"), step("tool"))
        assert (await reopened(journal)).under_way is None
        assert await journal.read(rows) == 0


async def test_a_later_call_is_under_way_from_its_beginning_on(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db") as journal:
        log = await reopened(journal)
        await log.add_reply(asked("bash", "read"), step("think"), begins="0.0")
        await log.add_result(log.pending()[0], Observation(text="done"), step("tool"))
        await log.begin("0.1")
        found = await reopened(journal)
        assert found.under_way is not None
        assert found.under_way.label == "0.1"
        await found.add_result(found.pending()[0], Observation(text="done"), step("tool"))
        assert (await reopened(journal)).under_way is None
        assert await journal.read(rows) == 0


@pytest.mark.parametrize("begins", ["", None])
async def test_a_call_that_nobody_began_is_not_under_way(tmp_path: Path, begins: str | None) -> None:
    async with Journal(tmp_path / "journal.db") as journal:
        log = await reopened(journal)
        await log.add_reply(asked("bash"), step("think"))
        if begins is None:  # as a version before wrote it

            def older(connection: Connection) -> None:
                body = {key: value for key, value in log.entries[0].body.items() if key != "begins"}
                connection.execute("UPDATE turn_entries SET body = ?", (json.dumps(body),))
                turns.begin_call(connection, "s", "0.0", now=5.0)

            await journal.write(older)
        found = (await reopened(journal)).under_way
        assert (found is None) == (begins == "")
        assert found is None or (found.label, found.started_at) == ("0.0", 5.0)


async def test_what_is_asked_for_at_every_step_follows_the_entries(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db") as journal:
        log = await reopened(journal)
        for number in range(3):
            await log.add_reply(asked("bash"), step("think"), begins=f"{2 * number}.0")
            await log.add_note("words", text=str(number))
            assert log.replies == number + 1
            assert [note.body["text"] for note in log.notes("words")] == [
                str(one) for one in range(number + 1)
            ]
        await log.begin_anew("the copy is gone", keep=("words",))
        assert log.replies == 0
        assert [note.body["what"] for note in log.entries] == ["words", "words", "words", "anew"]
        assert len(log.notes("words")) == 3
        assert (await reopened(journal)).replies == 0
