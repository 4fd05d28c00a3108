"""A2A through its SDK's own client: the card, messages that are answered, streams, tasks, who may do what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from hal9.cluster import Home
from tests.api.conftest import Served, serving
from tests.conftest import Script

pytest.importorskip("a2a.client")

from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import A2AError


@pytest.fixture
async def served(home: Home, script: Script) -> AsyncIterator[Served]:
    script("adder")
    spoken(home)
    async with serving(home) as one:
        yield one


def spoken(home: Home) -> None:
    """Switch the protocol on."""
    text = home.settings_file.read_text()
    home.settings_file.write_text(text.replace("a2a: false", "a2a: true", 1))


def message(words: str, *, task_id: str = "", **metadata: str) -> SendMessageRequest:
    made = Message(message_id="m1", role=Role.ROLE_USER, parts=[Part(text=words)], task_id=task_id)
    made.metadata.update(metadata)
    return SendMessageRequest(message=made)


@asynccontextmanager
async def agent(served: Served, *, streaming: bool = True) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(
        base_url=served.server.url, headers=dict(served.http.headers), timeout=60.0
    ) as http:
        card = await A2ACardResolver(http, served.server.url).get_agent_card()
        assert card.capabilities.streaming
        assert {"l2-implementer", "l4-strategist"} <= {one.id for one in card.skills}
        yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card)


async def test_a_message_is_streamed_to_its_answer(served: Served) -> None:
    async with agent(served) as client:
        events = [one async for one in client.send_message(message("Write add(a, b) in adder.py"))]
        assert events[0].HasField("task")
        task_id = events[0].task.id
        assert (await served.cluster.task(task_id)).state == "done", "it is a task of the cluster"
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        artifacts = [one.artifact_update.artifact for one in events if one.HasField("artifact_update")]
        assert "return a + b" in artifacts[0].parts[0].text
        told = [
            one.status_update.status.message.parts[0].text
            for one in events[1:-1]
            if one.HasField("status_update") and one.status_update.status.message.parts
        ]
        assert any(one.startswith("l2-") for one in told), "; ".join(told)
        found = await client.get_task(GetTaskRequest(id=task_id))
        assert found.status.state == TaskState.TASK_STATE_COMPLETED
        assert found.history[0].parts[0].text == "Write add(a, b) in adder.py"
        listed = await client.list_tasks(ListTasksRequest())
        assert [one.id for one in listed.tasks] == [task_id]


async def test_without_a_stream_the_finished_task_is_the_answer(served: Served) -> None:
    async with agent(served, streaming=False) as client:
        (event,) = [one async for one in client.send_message(message("Show add", to="l2-implementer"))]
        assert event.task.status.state == TaskState.TASK_STATE_COMPLETED
        assert "return a + b" in event.task.artifacts[0].parts[0].text
        again = [one async for one in client.send_message(message("And now shorter", task_id=event.task.id))]
        assert again[-1].task.id != event.task.id
        assert (await served.cluster.task(again[-1].task.id)).payload.labels["follows"] == event.task.id


async def test_a_task_is_cancelled_and_a_finished_one_is_not(home: Home, script: Script) -> None:
    script("slow")
    spoken(home)
    async with serving(home) as served, agent(served, streaming=False) as client:
        wanted = message("Take your time")
        wanted.configuration.CopyFrom(SendMessageConfiguration(return_immediately=True))
        (event,) = [one async for one in client.send_message(wanted)]
        gone = await client.cancel_task(CancelTaskRequest(id=event.task.id))
        assert gone.status.state == TaskState.TASK_STATE_CANCELED
        with pytest.raises((A2AError, A2AClientError), match="cancel"):
            await client.cancel_task(CancelTaskRequest(id=event.task.id))
        with pytest.raises((A2AError, A2AClientError), match="nothing more"):
            async with agent(served) as follower:
                [one async for one in follower.subscribe(SubscribeToTaskRequest(id=event.task.id))]


async def test_what_cannot_be_done_is_an_error_of_the_protocol(served: Served) -> None:
    async with agent(served) as client:
        with pytest.raises((A2AError, A2AClientError), match="no task"):
            await client.get_task(GetTaskRequest(id="nothing"))
        with pytest.raises((A2AError, A2AClientError), match="no neuron"):
            [one async for one in client.send_message(message("x", to="l2-nobody"))]
        with pytest.raises((A2AError, A2AClientError), match="no text"):
            [one async for one in client.send_message(message(" "))]


async def test_a_wrong_or_under_scoped_token_gets_nothing(served: Served) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
    for headers, code in (({}, 401), ({"Authorization": "Bearer wrong"}, 401)):
        async with httpx.AsyncClient(base_url=served.server.url, headers=headers, timeout=60.0) as http:
            assert (await http.post("/a2a", json=call)).status_code == code
    read_only = served.token("read")
    async with served.client(read_only) as http:
        send = {
            "jsonrpc": "2.0", "id": 1, "method": "SendMessage",
            "params": {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}},
        }  # fmt: skip
        answer = (await http.post("/a2a", json=send, headers={"A2A-Version": "1.0"})).json()
    assert "submit" in answer["error"]["message"]
    assert await served.cluster.tasks() == []


async def test_a_reply_goes_on_only_where_the_client_may_work(served: Served, workspace: Path) -> None:
    task_id = await served.cluster.submit("Say hello", workspace=workspace)
    await served.cluster.wait(task_id, timeout_seconds=180)
    asked = len(await served.cluster.tasks(limit=10))
    async with agent(served) as client:
        with pytest.raises((A2AClientError, A2AError), match="may not use|outside|workspaces"):
            [one async for one in client.send_message(message("once more", task_id=task_id))]
    again = await served.http.post(f"/v1/tasks/{task_id}/retry", json={})
    assert (again.status_code, again.json()["error"]) == (403, "api.WorkspaceRefused")
    assert len(await served.cluster.tasks(limit=10)) == asked, "no task began"
