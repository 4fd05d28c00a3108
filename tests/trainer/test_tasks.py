"""Training as a task of a cluster that really runs: progress, budget, cancel, going on after kill -9."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from hal9.cluster import Home, connect
from hal9.journal.tasks import TaskRow
from hal9.trainer.record.changes import open_ledger
from tests.conftest import Script, running_cluster
from tests.support.daemons import start, stop, wait_ready

MIND = "scripted:tests.trainer.scripts:inner"
SLOW = "scripted:tests.trainer.scripts:slow_inner"


def run_folder(home: Home, name: str) -> Path:
    return home.state / "workloads" / "ripmap-train" / name


def answer(task: TaskRow) -> dict[str, object]:
    assert task.result is not None
    found = yaml.safe_load(task.result.answer)
    assert isinstance(found, dict)
    return found


async def test_progress_result_ledger_and_budget(here: Path, home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        trained = await cluster.submit(
            f"mind: {MIND}, episodes: 3, run_name: mine, score_test: false", workload="ripmap-train"
        )
        done = await cluster.wait(trained, timeout_seconds=120)
        steps = await cluster.steps(trained)
        poor = await cluster.submit(
            f"mind: {MIND}, episodes: 3, score_test: false", workload="ripmap-train", budget_tokens=50
        )
        ended = await cluster.wait(poor, timeout_seconds=120)
    assert (done.state, ended.state) == ("done", "done")
    assert done.deadline - done.created_at > 86_400
    assert steps[0].evidence.startswith("preparing"), "nobody waits in silence"
    episodes = [step for step in steps if step.evidence.split()[0].isdigit()]
    assert [step.evidence.split()[0] for step in episodes] == ["1", "2", "3"]
    assert [step.tally.calls for step in episodes] == [1, 1, 1]
    told = answer(done)
    assert told["reason"] == "episodes"
    assert str(told["validation"]).startswith("NDCG@10 0.")
    assert told["folder"] == str(run_folder(home, "mine"))
    results = json.loads((run_folder(home, "mine") / "results.json").read_text())
    assert told["evaluations"] == results["evaluations"]
    with open_ledger(run_folder(home, "mine"), new=False) as ledger:
        assert len(ledger.rows()) == results["evaluations"] - 1
    assert answer(ended)["reason"] == "budget"
    assert Path(str(answer(ended)["folder"]), "results.trained.json").is_file()


async def test_a_cancelled_run_keeps_its_best(here: Path, home: Home, script: Script) -> None:
    script("adder")
    pad = run_folder(home, "long") / "scratchpad.json"
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(
            f"mind: {SLOW}, episodes: 500, run_name: long, score_test: false", workload="ripmap-train"
        )
        while not pad.is_file() or len(json.loads(pad.read_text())["episodes"]) < 2:
            await asyncio.sleep(0.05)
        await cluster.cancel(task_id)
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "cancelled"
        async with asyncio.timeout(120):
            while not (pad.parent / "results.json").is_file():
                await asyncio.sleep(0.05)
    results = json.loads((pad.parent / "results.json").read_text())
    assert results["reason"] == "cancelled"
    assert results["episodes"] == len(json.loads(pad.read_text())["episodes"]) < 500


@pytest.mark.slow  # by default: the kill of a run (test_commands) and that of a daemon (cluster/test_workloads)
def test_a_run_goes_on_after_its_daemon_was_killed(here: Path, home: Home) -> None:
    pad = run_folder(home, "killed") / "scratchpad.json"

    def episodes() -> list[dict[str, object]]:
        found = json.loads(pad.read_text())["episodes"] if pad.is_file() else []
        assert isinstance(found, list)
        return found

    async def submit() -> str:
        async with connect(home.root) as cluster:
            text = f"mind: {SLOW}, episodes: 8, run_name: killed, score_test: false"
            return await cluster.submit(text, workload="ripmap-train")

    async def ended(task_id: str) -> TaskRow:
        async with connect(home.root) as cluster:
            return await cluster.wait(task_id, timeout_seconds=120)

    task_id = asyncio.run(submit())
    first = start(home)
    wait_ready(home, first)
    while len(episodes()) < 3:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    before = episodes()
    second = start(home)
    try:
        done = asyncio.run(ended(task_id))
    finally:
        stop(second)
    assert done.state == "done"
    assert answer(done)["reason"] == "episodes"
    after = episodes()
    assert [entry["episode"] for entry in after] == list(range(8))
    assert after[: len(before)] == before
    with open_ledger(pad.parent, new=False) as ledger:
        causes = [change.cause for change in ledger.rows()]
    trials = [entry["hash"] for entry in after for _ in entry["trials"]]  # type: ignore[attr-defined]
    assert causes == trials
