"""Half a surrogate pair, typed or replied, is replaced at the border; it never ends a task."""

from pathlib import Path

import pytest

from hal9.cluster import Home
from hal9.errors.cluster import TaskInvalid
from hal9.signals import TaskPayload
from tests.conftest import Script, running_cluster


async def test_odd_text_goes_through_a_whole_task(home: Home, script: Script) -> None:
    script("echo")
    async with running_cluster(home) as (_, cluster):
        task_id = await cluster.submit("say it: half a pair \ud83d and a whole one \ud83d\ude00")
        task = await cluster.wait(task_id, timeout_seconds=180)
        request = await cluster.request(
            "feedback", {"verdict": "reject", "why": "no \udc80"}, task_id=task_id
        )
    assert task.state == "done", task.result
    assert task.result is not None
    assert "\ufffd and a whole one 😀" in task.result.answer
    assert request > 0


async def test_a_workspace_whose_name_is_no_text_is_refused(
    home: Home, script: Script, tmp_path: Path
) -> None:
    script("echo")
    odd = tmp_path / "odd\udc80"
    odd.mkdir()
    async with running_cluster(home) as (_, cluster):
        with pytest.raises(TaskInvalid, match="not UTF-8"):
            await cluster.submit("x", workspace=odd)


def test_what_travels_can_be_stored() -> None:
    payload = TaskPayload(objective="a\ud800", labels={"k\udc80": "v\ud800"}, targets=["t\udfff"])
    assert payload.objective == "a\ufffd"
    payload.model_dump_json().encode()
