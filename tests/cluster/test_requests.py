"""What is asked while the cluster is down is checked at once, and its answer is shown later."""

from typing import Any

import pytest

from hal9.cluster import Home, connect
from hal9.errors.base import Hal9Error
from hal9.errors.cluster import RequestInvalid
from tests.conftest import Script, running_cluster
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("dance", {}, "known are"),
        ("approve", {"change": "nope", "hash": "x"}, "nope"),
        ("deny", {"change": "nope"}, "nope"),
        ("rollback", {"change": "nope"}, "nope"),
        ("freeze", {"neuron": "l9-nobody"}, "l9-nobody"),
        ("import", {"text": "{not json", "file": "a.json"}, "neither a pack nor an archive"),
        ("import", {"text": "nonsense: [", "file": "a.yaml"}, "a.yaml"),
        ("feedback", {"verdict": "accept"}, "no task"),
    ],
)
async def test_what_could_only_be_refused_is_refused_at_once(
    home: Home, kind: str, body: dict[str, Any], words: str
) -> None:
    async with connect(home.root) as cluster:
        with pytest.raises(Hal9Error, match=words):
            await cluster.request(kind, body)
        assert await cluster.requests() == []


async def test_feedback_needs_an_answer_to_be_about(home: Home) -> None:
    async with connect(home.root) as cluster:
        task_id = await cluster.submit("not done yet")
        with pytest.raises(RequestInvalid, match="has no answer yet"):
            await cluster.request("feedback", {"verdict": "accept"}, task_id=task_id)


async def test_any_unambiguous_end_of_an_id_names_the_task(home: Home) -> None:
    async with connect(home.root) as cluster:
        task_id = await cluster.submit("one")
        for given in (task_id[-12:], task_id[:30], task_id, "last"):
            assert (await cluster.task(given)).id == task_id
            assert await cluster.steps(given) == []
            await cluster.request("cancel", {"reason": "x"}, task_id=given)
        assert {one.task_id for one in await cluster.requests()} == {task_id}


async def test_answers_to_what_was_asked_while_it_was_down_are_shown(home: Home, script: Script) -> None:
    script("echo")
    async with connect(home.root) as cluster:
        await cluster.request("pause", {})
        before = await cluster.status()
    assert [(one["kind"], one["answered_at"]) for one in before["requests"]] == [("pause", None)]
    async with running_cluster(home) as (daemon, cluster):

        async def answered() -> bool:
            return all(one.done_at for one in await cluster.requests())

        await eventually(answered, "the daemon answers what it finds")
        daemon.status.write()
        said = (await cluster.status())["requests"]
        assert [(one["kind"], one["said"], one["error"]) for one in said] == [
            ("pause", ["learning is paused; recall goes on"], "")
        ]
        await cluster.request("resume", {})  # asked of a cluster that is up: no news in its status
        await eventually(answered, "the daemon answers")
        assert [one["kind"] for one in (await cluster.status())["requests"]] == ["pause"]
        assert [one.kind for one in await cluster.requests()] == ["resume", "pause"]
    async with running_cluster(home) as (daemon, cluster):
        daemon.status.write()
        assert (await cluster.status())["requests"] == [], "what the last daemon answered is no news"
        assert [one.kind for one in await cluster.requests()] == ["resume", "pause"]
