"""A task given to a neuron by name; neurons with functions of their own; the client that waits."""

from pathlib import Path

import pytest

import hal9
from hal9.cluster import Home
from hal9.errors.cluster import ClientClosed, TaskFailed, TaskInvalid
from tests.conftest import Script, running_cluster

COUNTER = """
from hal9 import Neuron

def count(text: str) -> int:
    "How many words."
    return len(text.split())

n = Neuron(name="l2-counter", prompt="You count.", tools=[count], description="counts words")
"""


async def test_a_neuron_in_code_is_given_a_task_by_name_and_calls_its_function(
    home: Home, script: Script
) -> None:
    (home.neurons / "counter.py").write_text(COUNTER)
    script("counts")
    async with running_cluster(home) as (_, cluster):
        task = await cluster.wait(
            await cluster.submit("How many words?", to="l2-counter"), timeout_seconds=60
        )
        assert task.state == "done", task.result
        assert task.result is not None
        assert task.result.answer == "3 words"
        steps = await cluster.steps(task.id)
        assert {step.neuron for step in steps} == {"l2-counter"}, "past the layers above"


async def test_a_neuron_that_does_not_exist_is_named(home: Home) -> None:
    async with hal9.connect(home.root) as cluster:
        with pytest.raises(TaskInvalid, match="did you mean 'l2-implementer'"):
            await cluster.submit("x", to="l2-implementr")


def test_the_client_that_waits(home: Home, workspace: Path) -> None:
    with hal9.connect_blocking(home.root) as cluster:
        task_id = cluster.submit("Write add", workspace=str(workspace), check="python check.py")
        assert cluster.task("last").id == task_id
        assert [one.id for one in cluster.tasks()] == [task_id]
        assert cluster.steps(task_id) == []
        with pytest.raises(TimeoutError):
            cluster.wait(task_id, timeout_seconds=0.1)
        assert cluster.status()["tasks"]["queued"] == 1
    cluster.close()
    with pytest.raises(ClientClosed):
        cluster.tasks()


async def test_the_client_that_waits_asks_and_judges_beside_a_running_loop(
    home: Home, script: Script
) -> None:
    """As in a notebook: a loop runs in this thread already."""
    import asyncio

    script("adder")
    async with running_cluster(home):

        def session() -> list[str]:
            with hal9.connect_blocking(home.root) as cluster:
                answer = cluster.ask("Write add(a, b) in adder.py")
                seen = [type(one).__name__ for one in cluster.watch("last")]
                return [answer, seen[-1], cluster.feedback("last", reject="use type hints")]

        answer, last, said = await asyncio.to_thread(session)
    assert "return a + b" in answer
    assert last == "TaskRow"
    assert "rule" in said or "recorded" in said


async def test_an_answer_that_failed_is_an_error(home: Home, workspace: Path, script: Script) -> None:
    import asyncio

    script("always_wrong")
    async with running_cluster(home):

        def ask() -> None:
            with hal9.connect_blocking(home.root) as cluster, pytest.raises(TaskFailed, match="failed"):
                cluster.ask("Write add", workspace=workspace, check="python check.py")

        await asyncio.to_thread(ask)


async def test_settings_are_read_again_when_the_file_was_changed(home: Home) -> None:
    async with hal9.connect(home.root) as cluster:
        first = cluster.current_settings()
        assert cluster.current_settings() is first, "not parsed for every request"
        text = home.settings_file.read_text()
        home.settings_file.write_text(text.replace("relevance_edges: 0", "relevance_edges: 17"))
        assert cluster.current_settings().routing.relevance_edges == 17
