"""What a run of `hal9 tune` leaves for others to read: its story, its verdict, while it goes on and afterwards."""

import asyncio
from pathlib import Path

import pytest

from hal9.errors.database import DatabaseDamaged
from hal9.minds import ScriptedMind
from hal9.promptgram import Promptgram
from hal9.tuning.attempts import Answer
from hal9.tuning.record import keep_outcome, read_run, run_folders
from hal9.tuning.session import TuningRoles, run_tuning
from hal9.tuning.story import SearchStep, TuneSettings
from hal9.tuning.tasks import TuningTask
from tests.tuning.toy import BASE, ToyAnswerer, ToyScorer, reflecting_mind, toy_tasks

SETTINGS = TuneSettings(budget=100)


def roles(answerer: ToyAnswerer | None = None, mind: ScriptedMind | None = None) -> TuningRoles:
    return TuningRoles(
        answerer=answerer or ToyAnswerer(), scorer=ToyScorer(), reflect=mind or reflecting_mind()
    )


async def test_a_finished_run_is_read_as_it_was_told(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    heard: list[SearchStep] = []
    result = await run_tuning(BASE, toy_tasks(24), roles(), folder, settings=SETTINGS, listener=heard.append)
    keep_outcome(folder, ("Promoted.", ""))
    record = read_run(folder)
    assert [(one["kind"], one["calls"], one["score"], one["text"]) for one in record.steps] == [
        (one.kind, one.calls, one.score, one.text) for one in heard
    ]
    assert record.about["neuron"] == "l2-toy"
    assert record.result is not None
    assert record.result["held_out"]["told"] == result.held_out.told()
    assert record.result["winner"] == result.search.winner.number
    assert "+- Always name" in record.result["change"]
    assert record.outcome == ("Promoted.",)
    assert len(record.proposals) == result.proposals
    made = {one["candidate"]["number"]: one["candidate"] for one in record.steps if "candidate" in one}
    last = made[record.result["winner"]]
    while last["parent"]:
        last = made[last["parent"]]
    assert last["edits"][0]["task"], "a line of descent leads to the prompt as it was, with each edit's cause"


class Interrupted(ToyAnswerer):
    """Stops the run at a call, as a kill would."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        if self.calls == self.at:
            raise asyncio.CancelledError
        return await super().answer(promptgram, task, draw=draw)


async def test_a_run_under_way_is_read_without_a_verdict_and_one_that_goes_on_tells_nothing_twice(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "one"
    with pytest.raises(asyncio.CancelledError):
        await run_tuning(BASE, toy_tasks(24), roles(Interrupted(45)), folder, settings=SETTINGS)
    half = read_run(folder)
    assert half.steps
    assert half.result is None
    await run_tuning(BASE, toy_tasks(24), roles(), folder, settings=SETTINGS)
    whole = read_run(folder)
    assert whole.steps[: len(half.steps)] == half.steps
    calls = [one["calls"] for one in whole.steps]
    assert calls == sorted(calls)
    assert whole.result is not None


async def test_runs_are_listed_newest_first_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    assert run_folders(tmp_path / "none") == []
    for name in ("first", "second"):
        await run_tuning(BASE, toy_tasks(12), roles(), tmp_path / name, settings=TuneSettings(budget=60))
    (tmp_path / "no run").mkdir()
    assert [path.name for path in run_folders(tmp_path)] == ["second", "first"]
    read_run(tmp_path / "first")
    assert [path.name for path in run_folders(tmp_path)] == ["second", "first"], "reading is no writing"
    (tmp_path / "second" / "run.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseDamaged):
        read_run(tmp_path / "second")
