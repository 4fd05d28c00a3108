"""A cluster over HTTP, with the same face as the local client.

async with RemoteCluster("https://hal9.example.org:8909", token) as cluster:
    task_id = await cluster.submit("…")
    task = await cluster.wait(task_id)
"""

import asyncio
import io
import json
import secrets
import ssl
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from hal9.api.models import Page, TaskLine, TaskView, task_row
from hal9.api.problems import error_of
from hal9.cluster.submission import Submission, SubmitOptions, given_files
from hal9.errors.api import ServerUnreachable
from hal9.errors.cluster import TaskInvalid, TaskUnknown
from hal9.errors.tools import QuestionUnknown
from hal9.journal.tasks import TERMINAL, TaskRow, TaskState
from hal9.journal.turns import Question, TurnEntry
from hal9.signals import ResultPayload, StepRecord, Tally

__all__ = ["RemoteCluster"]

_SECONDS = 90.0
_RETRY_SECONDS = 1.0
_LEFT_OUT = {".git", ".hal9", "__pycache__", "node_modules", ".venv"}


class RemoteCluster:
    """A client of one server; use it with `async with`.

    Args:
        url: where the server is.
        token: as `hal9 token create` has shown it.
        ca_file: PEM file of the CA that signed its certificate, when that is no public one.

    Raises:
        ServerUnreachable: from every method, when nobody answers.
        TokenRefused, ScopeMissing: from every method.
    """

    def __init__(self, url: str, token: str, *, ca_file: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._ca_file = ca_file
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        verify: ssl.SSLContext | bool = True
        if self._ca_file is not None:
            verify = ssl.create_default_context(cafile=self._ca_file)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            timeout=_SECONDS,
            verify=verify,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    # --- tasks --------------------------------------------------------------------------------

    async def submit(
        self, objective: str, *, task_id: str | None = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Accept a task; returns its id once the server cannot lose it any more.

        A workspace of this machine is packed and brought along (without .git and the like). A path the server
        may use itself is given as `server:/path`.

        Raises:
            TaskInvalid: nothing was accepted; says why.
        """
        settled = Submission.of(options)
        workspace = await self._workspace(settled.workspace)
        local = None if workspace is None or not workspace.startswith("upload:") else settled.workspace
        files, targets = given_files(settled, local)
        scope = settled.scope
        body = {
            "objective": objective,
            "workspace": workspace,
            "check": settled.check,
            "files": [one.model_dump() for one in (*files, *settled.inline)],
            "targets": targets,
            "budget_tokens": settled.budget_tokens,
            "budget_usd": settled.budget_usd,
            "timeout_seconds": settled.timeout_seconds,
            "family": scope.task_family if scope else "",
            "module": scope.module if scope else "",
            "workload": settled.workload,
            "review": settled.review,
            "divide": settled.divide,
            "to": settled.to,
            "labels": settled.labels or {},
        }
        # Repeated after a lost answer it is still one task.
        headers = {"Idempotency-Key": task_id or secrets.token_hex(16)}
        answer = await self._call("POST", "/v1/tasks", body=body, headers=headers, repeat=True)
        return str(json.loads(answer)["id"])

    async def _workspace(self, given: Path | None) -> str | None:
        if given is None:
            return None
        if str(given).startswith(("server:", "upload:")):
            return str(given).removeprefix("server:")
        data = await asyncio.to_thread(_packed, given)
        return str(json.loads(await self._call("POST", "/v1/workspaces", content=data))["workspace"])

    async def task(self, task_id: str) -> TaskRow:
        """One task by its id, its beginning, its end, or "last".

        Raises:
            TaskUnknown: no such id, or not unique.
        """
        data = await self._call("GET", f"/v1/tasks/{_quoted(task_id)}")
        return task_row(TaskView.model_validate_json(data))

    async def resolve(self, given: str) -> str:
        """The full id.

        Raises:
            TaskUnknown: none, or several.
        """
        return (await self.task(given)).id

    async def tasks(self, *, limit: int = 20, state: TaskState | None = None) -> list[TaskRow]:
        """Newest first."""
        found: list[TaskLine] = []
        cursor = ""
        while len(found) < limit:
            params: dict[str, Any] = {"limit": min(500, limit - len(found)), "cursor": cursor}
            if state is not None:
                params["state"] = state
            page = Page[TaskLine].model_validate_json(await self._call("GET", "/v1/tasks", params=params))
            found += page.items
            if page.next is None:
                break
            cursor = page.next
        return [_listed(one) for one in found]

    async def steps(self, task_id: str) -> list[StepRecord]:
        """What neurons did for a task, in order."""
        data = await self._call("GET", f"/v1/tasks/{_quoted(task_id)}/steps")
        return [StepRecord.model_validate(one) for one in json.loads(data)]

    async def cancel(self, task_id: str, *, reason: str = "cancelled by the user") -> None:
        """End a task.

        Raises:
            TaskFinished: it has its result already.
        """
        await self._call("POST", f"/v1/tasks/{_quoted(task_id)}/cancel", body={"reason": reason})

    async def reply(self, task_id: str, words: str) -> str:
        """Go on with a task that is over; returns the new task's id.

        Raises:
            TaskInvalid, TaskUnfinished, TaskUnknown.
            WorkspaceRefused: it worked where this client may let no task work.
        """
        if not words.strip():
            raise TaskInvalid(problem="a reply needs words")
        return await self._follow(task_id, "reply", {"words": words})

    async def retry(self, task_id: str, reason: str = "") -> str:
        """Do a task again; a reason is learned from like any rejection. Returns the new task's id.

        Raises:
            TaskUnfinished, TaskUnknown.
            WorkspaceRefused: it worked where this client may let no task work.
        """
        return await self._follow(task_id, "retry", {"reason": reason})

    async def _follow(self, task_id: str, how: str, body: dict[str, str]) -> str:
        path, headers = f"/v1/tasks/{_quoted(task_id)}/{how}", {"Idempotency-Key": secrets.token_hex(16)}
        return str(json.loads(await self._call("POST", path, body=body, headers=headers, repeat=True))["id"])

    async def turn_entries(self, task_id: str) -> list[TurnEntry]:
        """The logs of a task's turns that went step by step."""
        data = await self._call("GET", f"/v1/tasks/{_quoted(task_id)}/turns")
        return [TurnEntry(**one) for one in json.loads(data)]

    async def questions(self) -> list[Question]:
        """Questions and approvals that wait for a person, oldest first."""
        return [Question(**one) for one in json.loads(await self._call("GET", "/v1/questions"))]

    async def answer_question(self, given: str, answer: str) -> str:
        """Answer one; returns the task that goes on.

        Raises:
            QuestionUnknown: none, or several.
            QuestionAnswered: somebody was quicker.
        """
        if not (given.isascii() and given.isalnum()):
            raise QuestionUnknown(given=given, open=tuple(one.id for one in await self.questions()))
        body = {"answer": answer}
        return str(
            json.loads(await self._call("POST", f"/v1/questions/{given}/answer", body=body))["task_id"]
        )

    async def wait(self, task_id: str, *, timeout_seconds: float | None = None) -> TaskRow:
        """Wait for a task's result, over lost connections too.

        Raises:
            TimeoutError: it is still going on; it goes on.
        """
        async with asyncio.timeout(timeout_seconds):
            async for kind, data in self.events(task_id):
                if kind == "task" and data["state"] in TERMINAL:
                    break
            return await self.task(task_id)

    async def watch(self, task_id: str) -> AsyncIterator[StepRecord | TaskRow]:
        """Steps of a task as they are recorded; last comes the finished task itself."""
        async for kind, data in self.events(task_id, full=True):
            if kind == "step":
                yield StepRecord.model_validate(data)
        yield await self.task(task_id)

    async def events(
        self, task_id: str | None = None, *, full: bool = False, progress: bool = False
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """(event, data) of one task until it ends, or of everything from now on; resumes by itself.

        Raises:
            TaskUnknown: no such task.
        """
        if task_id is not None:
            task_id = await self.resolve(task_id)
        path = "/v1/events" if task_id is None else f"/v1/tasks/{_quoted(task_id)}/events"
        last, met = "", False
        while True:
            params = {"full": str(full).lower(), "progress": str(progress).lower()}
            headers = {"Last-Event-ID": last} if last else {}
            try:
                async with self._client().stream("GET", path, params=params, headers=headers) as response:
                    if response.status_code != 200:
                        raise error_of(response.status_code, await response.aread())
                    met = True
                    async for number, kind, data in _parsed(response.aiter_lines()):
                        last = number or last
                        yield kind, data
                        if task_id is not None and kind == "task" and data["state"] in TERMINAL:
                            return
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if not met:
                    raise self._unreachable(error) from error
            await asyncio.sleep(_RETRY_SECONDS)

    # --- the cluster itself -----------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """What the daemon says of itself, and how many tasks are in which state."""
        found: dict[str, Any] = json.loads(await self._call("GET", "/v1/status"))
        return found

    async def drain(self, host: str, *, drain: bool = True) -> None:
        """Ask a host to take up nothing new, or to work again; what it has begun it ends.

        Raises:
            HostUnknown: no host of this cluster has that name.
        """
        await self._call("POST", "/v1/hosts/drain", body={"host": host, "undo": not drain})

    async def patch(self, task_id: str) -> bytes:
        """What a task changed, as a patch that `git apply` takes."""
        return await self._call("GET", f"/v1/tasks/{_quoted(task_id)}/diff")

    async def view(self, name: str, **query: Any) -> Any:
        """One of the views (ledger, rules, weights, …) as plain values."""
        params = {key: value for key, value in query.items() if value is not None}
        return json.loads(await self._call("GET", f"/v1/{name}", params=params))

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Put a request to the daemon.

        Raises:
            ApiFailed: the cluster said no.
        """
        found: dict[str, Any] = json.loads(await self._call("POST", path, body=body))
        return found

    # --- small things -----------------------------------------------------------------------------

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise RuntimeError("use the cluster inside `async with`")
        return self._http

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        repeat: bool = False,
    ) -> bytes:
        """One request; `repeat` says that trying again does no harm."""
        for left in (2, 1, 0) if repeat or method == "GET" else (0,):
            try:
                response = await self._client().request(
                    method, path, json=body, content=content, params=params, headers=headers
                )
                break
            except httpx.ConnectError as error:
                raise self._unreachable(error) from error
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if not left:
                    raise self._unreachable(error) from error
                await asyncio.sleep(_RETRY_SECONDS)
        if response.status_code >= 400:
            raise error_of(response.status_code, response.content)
        return response.content

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(url=self.url, detail=str(error) or type(error).__name__)


async def _parsed(lines: AsyncIterator[str]) -> AsyncGenerator[tuple[str, str, dict[str, Any]], None]:
    number, kind = "", "message"
    async for line in lines:
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield number, kind, json.loads(line[6:])
        elif not line:
            number, kind = "", "message"


def _listed(line: TaskLine) -> TaskRow:
    """A line of a list as the row a client works with; of its result only what it cost is known."""
    result = None
    if line.finished_at is not None:
        result = ResultPayload(ok=line.state == "done", tally=Tally(prompt_tokens=line.tokens, usd=line.usd))
    view = TaskView(deadline=0.0, result=result, **line.model_dump(exclude={"seq", "tokens", "usd"}))
    return task_row(view)


def _quoted(task_id: str) -> str:
    if not task_id or not task_id.replace("-", "").replace("_", "").isalnum() or not task_id.isascii():
        raise TaskUnknown(given=task_id)
    return task_id


def _packed(given: Path) -> bytes:
    """A workspace as an archive: regular files, without what no task needs."""
    folder = given.expanduser().absolute()
    if not folder.is_dir():
        raise TaskInvalid(problem=f"workspace {folder} is not a directory")
    out = io.BytesIO()

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if _LEFT_OUT & set(member.name.split("/")) or not (member.isreg() or member.isdir()):
            return None
        return member

    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as tar:
        tar.add(folder, arcname=".", filter=wanted)
    return out.getvalue()
