"""Tasks over HTTP: accepted, followed, fetched, refused; real server, real broker, real journal."""

import asyncio
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from hal9.cluster import Home
from hal9.journal.tasks import TERMINAL
from tests.api.conftest import Served, serving
from tests.conftest import Script, edit_settings, running_cluster

OBJECTIVE = "Write add(a, b) in adder.py"


async def events(
    http: httpx.AsyncClient, path: str, **headers: str
) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of a stream until it ends."""
    number, kind = 0, ""
    async with http.stream("GET", path, headers=headers, timeout=60.0) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield number, kind, json.loads(line[6:])


async def test_a_task_is_accepted_followed_and_answered(served: Served, workspace: Path) -> None:
    http = served.http
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(workspace / "check.py", "check.py")
    uploaded = await http.post("/v1/workspaces", content=archive.getvalue())
    assert uploaded.status_code == 201
    body = {"objective": OBJECTIVE, "check": "python check.py", **uploaded.json()}
    accepted = await http.post("/v1/tasks", json=body)
    assert accepted.status_code == 201, accepted.text
    task = accepted.json()
    assert accepted.headers["location"] == f"/v1/tasks/{task['id']}"
    seen = [one async for one in events(http, f"/v1/tasks/{task['id']}/events")]
    states = [data["state"] for _, kind, data in seen if kind == "task"]
    assert states == ["queued", "running", "done"]
    assert [data["kind"] for _, kind, data in seen if kind == "step"][-2:] == ["think", "check"]
    assert all("prompt" not in data for _, kind, data in seen if kind == "step")
    numbers = [number for number, _, _ in seen]
    assert numbers == sorted(set(numbers))

    result = (await http.get(f"/v1/tasks/{task['id'][-12:]}")).json()
    assert (result["state"], result["result"]["check"]["passed"]) == ("done", True)
    assert "a + b" in (await http.get("/v1/tasks/last/diff")).text
    steps = (await http.get("/v1/tasks/last/steps")).json()
    assert [one["layer"] for one in steps][:3] == [4, 3, 2]
    assert any("Write add" in one["prompt"] for one in steps if one["kind"] == "think")
    back = await http.get(f"/v1/workspaces/{body['workspace'].removeprefix('upload:')}")
    with tarfile.open(fileobj=io.BytesIO(back.content)) as tar:
        assert "a + b" in tar.extractfile("adder.py").read().decode()  # type: ignore[union-attr]


async def test_a_stream_resumes_where_it_was_lost_also_over_a_restart(home: Home, script: Script) -> None:
    script("adder")
    async with serving(home) as first:
        task = (await first.http.post("/v1/tasks", json={"objective": "Say hello"})).json()
        whole = [one async for one in events(first.http, f"/v1/tasks/{task['id']}/events")]
        url = first.server.url
    async with serving(home) as second:
        assert second.server.url == url, "the port stays, so that clients find the server again"
        path = f"/v1/tasks/{task['id']}/events"
        for index in range(len(whole) - 1):
            rest = [one async for one in events(second.http, path, **{"Last-Event-ID": str(whole[index][0])})]
            assert rest == whole[index + 1 :]
        assert [one async for one in events(second.http, f"{path}?after={whole[1][0]}")] == whole[2:]


async def test_what_is_submitted_while_the_cluster_is_down_is_done_later(home: Home, script: Script) -> None:
    from hal9.api.server import ApiServer

    script("adder")
    async with ApiServer(home) as server:
        token = server.services.tokens.create("c", ("read", "submit", "feedback"))[1]
        http = httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0
        )
        async with http:
            task = (await http.post("/v1/tasks", json={"objective": "Say hello"})).json()
            follower = asyncio.create_task(collect(http, f"/v1/tasks/{task['id']}/events"))
            status = (await http.get("/v1/status")).json()
            assert (status["state"], status["tasks"]) == ("down", {"queued": 1})
            async with running_cluster(home):
                seen = await follower
            assert seen[-1] == "done"
            answer = (await http.post("/v1/tasks/last/feedback", json={"verdict": "accept"})).json()
            assert answer["queued"] is True


async def collect(http: httpx.AsyncClient, path: str) -> list[str]:
    return [data["state"] async for _, kind, data in events(http, path) if kind == "task"]


async def test_the_same_key_gives_the_same_task(served: Served) -> None:
    headers = {"Idempotency-Key": "a-key"}
    body = {"objective": "Say hello"}
    answers = await asyncio.gather(
        *(served.http.post("/v1/tasks", json=body, headers=headers) for _ in range(8))
    )
    assert len({one.json()["id"] for one in answers}) == 1
    assert sorted({one.status_code for one in answers}) in ([200, 201], [201])
    assert (await served.http.post("/v1/tasks", json=body, headers=headers)).status_code == 200
    assert len((await served.http.get("/v1/tasks")).json()["items"]) == 1
    other = await served.http.post("/v1/tasks", json={"objective": "Say no"}, headers=headers)
    assert (other.status_code, other.json()["error"]) == (409, "api.IdempotencyMismatch")


async def test_lists_come_in_pages(served: Served) -> None:
    ids = [
        (await served.http.post("/v1/tasks", json={"objective": f"Say {number}"})).json()["id"]
        for number in range(5)
    ]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await served.http.get("/v1/tasks", params={"limit": 2, "cursor": cursor})).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert seen == ids[::-1]
    wrong = await served.http.get("/v1/tasks", params={"cursor": "-5"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "api.CursorInvalid")


async def test_errors_are_those_of_the_command_line(served: Served) -> None:
    unknown = await served.http.get("/v1/tasks/nosuch")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    told = unknown.json()
    assert (told["error"], told["exit_code"]) == ("cluster.TaskUnknown", 7)
    assert told["facts"] == {"given": "nosuch", "matches": []}
    assert "hal9 tasks" in told["detail"]
    empty = await served.http.post("/v1/tasks", json={"objective": "  "})
    assert (empty.status_code, empty.json()["error"]) == (422, "cluster.TaskInvalid")
    wrong = await served.http.post("/v1/tasks", json={"objektive": "x", "budget_tokens": 0})
    assert wrong.status_code == 422
    assert len(wrong.json()["facts"]["problems"]) == 3, "all mistakes at once"
    task = (await served.http.post("/v1/tasks", json={"objective": "Say hello"})).json()
    await served.cluster.wait(task["id"], timeout_seconds=180)
    late = await served.http.post(f"/v1/tasks/{task['id']}/cancel")
    assert (late.status_code, late.json()["error"]) == (409, "cluster.TaskFinished")
    assert (await served.http.get("/v1/nothing")).json()["title"] == "Not Found"
    assert (await served.http.delete("/v1/tasks")).status_code == 405


async def test_a_task_can_be_cancelled(home: Home, script: Script) -> None:
    script("adder")
    from hal9.api.server import ApiServer

    async with ApiServer(home) as server:
        token = server.services.tokens.create("c", ("read", "submit"))[1]
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0
        ) as http:
            task = (await http.post("/v1/tasks", json={"objective": "Say hello"})).json()
            assert (await http.post(f"/v1/tasks/{task['id']}/cancel")).status_code == 200
            async with running_cluster(home) as (_, cluster):
                row = await cluster.wait(task["id"], timeout_seconds=180)
    assert row.state in TERMINAL


async def test_a_workspace_is_one_the_settings_allow(home: Home, workspace: Path, script: Script) -> None:
    script("adder")
    edit_settings(home, "workspaces: []", f"workspaces: [{workspace}]")
    inside = workspace / "part"
    inside.mkdir()
    (workspace / "way-out").symlink_to("/etc")
    async with serving(home) as served:
        good = await served.http.post("/v1/tasks", json={"objective": "Say hello", "workspace": str(inside)})
        assert good.status_code == 201, good.text
        for path in ("/etc", f"{workspace}/../", f"{workspace}/way-out", "relative", "~root"):
            bad = await served.http.post("/v1/tasks", json={"objective": "Say hello", "workspace": path})
            assert (bad.status_code, bad.json()["error"]) == (403, "api.WorkspaceRefused"), path


async def test_feedback_is_answered_in_the_clusters_words(served: Served) -> None:
    task = (await served.http.post("/v1/tasks", json={"objective": "Say hello"})).json()
    await served.cluster.wait(task["id"], timeout_seconds=180)
    answer = await served.http.post(
        f"/v1/tasks/{task['id']}/feedback", json={"verdict": "reject", "why": "greet by name"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["said"]
    assert answer.json()["queued"] is False
    nothing = await served.http.post(f"/v1/tasks/{task['id']}/feedback", json={})
    assert (nothing.status_code, nothing.json()["error"]) == (422, "learning.FeedbackInvalid")


async def test_an_archive_that_leads_out_is_refused(served: Served) -> None:
    for name, kind in (
        ("../out", "file"), ("/abs", "file"), ("ok/../../out", "file"), ("link", "link"), ("dev", "device"),
    ):  # fmt: skip
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(name)
            if kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            if kind == "device":
                member.type = tarfile.CHRTYPE
            member.size = 0
            tar.addfile(member, io.BytesIO(b""))
        refused = await served.http.post("/v1/workspaces", content=archive.getvalue())
        assert (refused.status_code, refused.json()["error"]) == (422, "api.ArchiveRefused"), name
    assert [*served.home.root.glob("uploads/*")] == []


async def test_too_much_is_refused(home: Home, script: Script) -> None:
    script("adder")
    edit_settings(home, "max_upload_mb: 64", "max_upload_mb: 1")
    async with serving(home) as served:
        big = io.BytesIO()
        with tarfile.open(fileobj=big, mode="w:gz") as tar:
            member = tarfile.TarInfo("zeros")
            member.size = 9 * 1024 * 1024
            tar.addfile(member, io.BytesIO(b"\0" * member.size))
        bomb = await served.http.post("/v1/workspaces", content=big.getvalue())
        assert (bomb.status_code, bomb.json()["error"]) == (422, "api.ArchiveRefused")
        long = await served.http.post("/v1/workspaces", content=b"x" * (1024 * 1024 + 1))
        assert (long.status_code, long.json()["error"]) == (413, "api.BodyTooLarge")
        body = await served.http.post("/v1/tasks", content=b" " * (9 * 1024 * 1024))
        assert body.status_code == 413


async def test_what_a_task_waits_for_is_answered_once(home: Home) -> None:
    from hal9.api.server import ApiServer
    from hal9.journal.turns import Question, add_question

    async with ApiServer(home) as server:
        one = Question(
            id="abc123abc123", task_id="t", signal_id="s", label="1", neuron="l2-implementer", kind="approval",
            text="run the migration?", asked_at=1.0, expires_at=9e9, detail={"text": "alembic upgrade head"},
        )  # fmt: skip
        await server.services.cluster.write(lambda connection: add_question(connection, one))
        reads = server.services.tokens.create("r", ("read",))[1]
        decides = server.services.tokens.create("d", ("read", "approve"))[1]
        async with httpx.AsyncClient(base_url=server.url, timeout=60.0) as http:
            reader, decider = ({"Authorization": f"Bearer {text}"} for text in (reads, decides))
            (told,) = (await http.get("/v1/questions", headers=reader)).json()
            assert (told["id"], told["detail"]["text"]) == ("abc123abc123", "alembic upgrade head")
            path, yes = "/v1/questions/abc123abc123/answer", {"answer": "yes"}
            assert (await http.post(path, json=yes, headers=reader)).status_code == 403
            done = await http.post(path, json=yes, headers=decider)
            assert (done.status_code, done.json()["state"], done.json()["answer"]) == (200, "answered", "yes")
            late = await http.post(path, json={"answer": "no"}, headers=decider)
            assert late.json()["error"] == "tools.QuestionAnswered"
            unknown = await http.post("/v1/questions/zzz/answer", json=yes, headers=decider)
            assert (unknown.status_code, unknown.json()["error"]) == (404, "tools.QuestionUnknown")
            assert (await http.get("/v1/questions", headers=reader)).json() == []


async def test_old_uploads_go_and_those_of_open_tasks_stay(home: Home) -> None:
    from hal9.api.server import ApiServer

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty.txt"), io.BytesIO(b""))
    async with ApiServer(home) as server:
        token = server.services.tokens.create("c", ("read", "submit"))[1]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60.0) as http:
            used, old = [
                (await http.post("/v1/workspaces", content=archive.getvalue())).json()["workspace"]
                for _ in range(2)
            ]
            task = {"objective": "Say hello", "workspace": used}
            assert (await http.post("/v1/tasks", json=task)).status_code == 201
            for folder in home.root.glob("uploads/*"):
                os.utime(folder, (1.0, 1.0))
            await http.post("/v1/workspaces", content=archive.getvalue())
            there = {one.name.rpartition("-")[2] for one in home.root.glob("uploads/*")}
    assert used.removeprefix("upload:") in there
    assert old.removeprefix("upload:") not in there
    assert len(there) == 2
