"""Workloads as tasks: progress, result, failure, cancelling, going on after kill -9."""

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest
import yaml

from hal9 import Workload
from hal9.cluster import Home, connect
from hal9.cluster.workloads.contract import find_workload
from hal9.cluster.workloads.lines import read_line
from hal9.errors.cluster import TaskInvalid, WorkloadUnreadable
from hal9.signals.labels import WORKLOAD_FOLDER
from hal9.trainer import run_workload
from tests.conftest import Script, running_cluster
from tests.support.daemons import start, stop, wait_ready
from tests.support.workloads import count

ROOT = Path(__file__).parents[2]
COUNT = "tests.support.workloads:count"


def options(path: Path, **more: object) -> str:
    return str(yaml.safe_dump({"file": str(path), "to": 5, **more}))


async def test_a_workload_shows_progress_and_gives_its_result(
    home: Home, tmp_path: Path, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(options(tmp_path / "count"), workload=COUNT)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert task.result is not None
    assert yaml.safe_load(task.result.answer) == {"counted": 5}
    assert [step.evidence for step in steps] == [f"{n} of 5" for n in range(1, 6)]


async def test_a_workload_that_fails_says_why(home: Home, tmp_path: Path, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(options(tmp_path / "count", fail=True), workload=COUNT)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "failed"
    assert task.result is not None
    assert task.result.error is not None
    assert "told to fail" in task.result.error.message
    assert task.result.error.reason == "internal_error"


async def test_a_workload_that_refuses_its_options_has_not_crashed(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("nonsense: 1", workload="ripmap-train")
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.result is not None
    assert task.result.error is not None
    assert task.result.error.reason == "tool_failed"
    assert "nonsense" in task.result.error.message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"hello", "is no JSON"),
        (b"[1]", "is no JSON object"),
        (b'{"progress": 7}', "a progress that is no object"),
        (b'{"result": "done"}', "a result that is no object"),
        (b'{"progress": {"tally": 3}}', "a tally that is no object"),
        (b'{"progress": {"tally": {"usd": "much"}}}', "usd is 'much'"),
        (b'{"progress": {"tally": {"calls": -3}}}', "calls is -3"),
        (b'{"progress": {"tally": {"calls": true}}}', "calls is True"),
        (b'{"progress": {"tally": {"usd": NaN}}}', "usd is 'nan'"),
        (b'{"progress": {"tally": {"usd": 1e999}}}', "usd is 'inf'"),
        (b'{"progress": {"tally": {"dollars": 1}}}', "unknown count 'dollars'"),
        (b"[" * 100_000, "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
    ],
)
def test_a_line_that_the_protocol_does_not_allow_is_named(line: bytes, words: str) -> None:
    with pytest.raises(WorkloadUnreadable, match=re.escape(words)):
        read_line(line)


async def test_whatever_a_workload_says_ends_its_own_task_only(
    home: Home, tmp_path: Path, script: Script
) -> None:
    script("echo")
    said = ("hello", "x" * (5 * 1024 * 1024))
    async with running_cluster(home) as (_, cluster):
        ids = []
        for number, text in enumerate(said):
            (tmp_path / f"options{number}").write_text(options(tmp_path / "count", say=text))
            ids.append(await cluster.submit(f"options: {tmp_path / f'options{number}'}", workload=COUNT))
        ended = [await cluster.wait(task_id, timeout_seconds=180) for task_id in ids]
        other = await cluster.wait(await cluster.submit("still there"), timeout_seconds=180)
    assert [(task.state, task.stop_reason) for task in ended] == [("failed", "tool_failed")] * 2
    assert other.state == "done"


async def test_a_price_nobody_knows_counts_as_nothing(home: Home, tmp_path: Path, script: Script) -> None:
    script("adder")
    said = {"calls": 2, "prompt_tokens": 10, "usd": None}
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(options(tmp_path / "count", tally=said), workload=COUNT)
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "done"
    assert task.result is not None
    assert (task.result.tally.calls, task.result.tally.usd) == (2, 0.0)


def test_text_that_no_file_can_hold_is_replaced() -> None:
    said = read_line(json.dumps({"progress": {"line": "half a \ud83d pair\0", "n": float("inf")}}).encode())
    assert said.text == "half a \ufffd pair\ufffd"
    assert said.progress == {"line": said.text, "n": "inf"}


async def test_a_cancelled_workload_ends_its_process(home: Home, tmp_path: Path, script: Script) -> None:
    script("adder")
    path = tmp_path / "count"
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit(options(path, to=1000, pause=0.1), workload=COUNT)
        while not path.exists():
            await asyncio.sleep(0.05)
        await cluster.cancel(task_id)
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "cancelled"
        await asyncio.sleep(1.5)
        counted = path.read_text()
        await asyncio.sleep(0.5)
        assert path.read_text() == counted


def test_a_workload_goes_on_after_its_daemon_was_killed(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "count"

    async def submit() -> str:
        async with connect(home.root) as cluster:
            return await cluster.submit(options(path, to=20, pause=0.1), workload=COUNT)

    async def result(task_id: str) -> str:
        async with connect(home.root) as cluster:
            return (await cluster.wait(task_id, timeout_seconds=180)).state

    task_id = asyncio.run(submit())
    first = start(home)
    wait_ready(home, first)
    while not path.exists() or len(path.read_text().splitlines()) < 3:
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    second = start(home)
    try:
        assert asyncio.run(result(task_id)) == "done"
    finally:
        stop(second)
    numbers = path.read_text().split()
    assert numbers == sorted(set(numbers), key=int)
    assert len(numbers) == 20


@pytest.mark.parametrize(
    ("workload", "text", "words"),
    [
        ("nope", "a: 1", "there is no workload"),
        ("nowhere.at.all:run", "a: 1", r"no module 'nowhere' .* a workload is `async def"),
        ("tests.support.nowhere:run", "a: 1", "no module 'tests.support.nowhere'"),
        ("tests.support.workloads:cuont", "a: 1", "has no 'cuont' .* did you mean 'count'"),
        ("tests.support.workloads:yaml.count", "a: 1", "is not MODULE:FUNCTION"),
        (":count", "a: 1", "is not MODULE:FUNCTION"),
        ("json.decoder.more:run", "a: 1", "no module 'json.decoder.more'"),
        ("sys:exit", "a: 1", "a part of Python"),
        ("hal9.text:split_lines", "a: 1", "'split_lines' in .* is no async function"),
        ("tests.support.scripts:slow", "a: 1", "'slow' in .* does not take three arguments"),
        (COUNT, "just words", "takes options"),
        (COUNT, "a: [", "no YAML"),
    ],
)
async def test_wrong_options_are_not_accepted(home: Home, workload: str, text: str, words: str) -> None:
    async with connect(home.root) as cluster:
        with pytest.raises(TaskInvalid, match=words):
            await cluster.submit(text, workload=workload)


async def test_a_module_of_the_folder_the_task_is_given_in_runs_and_its_package_only_then(
    home: Home, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mine" / "jobs_of_mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('imported').touch()\n"
    )
    (package / "nightly.py").write_text(
        "async def run(options, progress, cancelled):\n    return {'twice': 2 * options['number']}\n"
    )
    monkeypatch.chdir(tmp_path / "mine")
    async with connect(home.root) as cluster:
        given = {WORKLOAD_FOLDER: "/somewhere/else"}
        task_id = await cluster.submit("number: 21", workload="jobs_of_mine.nightly:run", labels=given)
        folder = (await cluster.task(task_id)).payload.labels[WORKLOAD_FOLDER]
        other = await cluster.submit(options(tmp_path / "count"), workload="ripmap-train", labels=given)
        assert WORKLOAD_FOLDER not in (await cluster.task(other)).payload.labels, "a client cannot say it"
        await cluster.cancel(other)
    assert folder == str(tmp_path / "mine")
    assert not (package / "imported").exists(), "to look for it runs nothing"
    deep = tmp_path / "mine" / "outer" / "inner"
    deep.mkdir(parents=True)
    (deep / "last.py").write_text("from somewhere import *\n")
    assert find_workload("outer.inner.last:run") == str(tmp_path / "mine"), "folders without __init__.py"
    monkeypatch.chdir(ROOT)
    script("echo")
    async with running_cluster(home) as (_, cluster):
        task = await cluster.wait(task_id, timeout_seconds=180)
    assert task.state == "done", task.result
    assert task.result is not None
    assert task.result.answer == "twice: 42\n"


def test_what_is_there_is_a_workload() -> None:
    built_in: Workload = run_workload
    own: Workload = count
    for one in (built_in, own):
        assert find_workload(f"{one.__module__}:{one.__name__}") is None  # type: ignore[attr-defined]
