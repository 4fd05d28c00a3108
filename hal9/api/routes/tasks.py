"""Endpoints about tasks: submit, list, follow, result, steps, diff, cancel, feedback."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse

from hal9.api.endpoint import Call, Endpoint, read_body
from hal9.api.hub import Progress
from hal9.api.models import (
    Answer,
    CancelIn,
    EventsQuery,
    FeedbackIn,
    Page,
    TaskIn,
    TaskLine,
    TasksQuery,
    TaskView,
    task_view,
)
from hal9.api.requests import ask
from hal9.errors.api import ArchiveRefused, CursorInvalid
from hal9.errors.cluster import TaskInvalid
from hal9.errors.workbench import ChangesMissing
from hal9.journal.events import TaskEvent
from hal9.journal.listing import page_of_tasks
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.signals import StepRecord, TaskScope, new_id
from hal9.signals.tracing import TRACEPARENT_LABEL, parse_traceparent
from hal9.workbench.patches import find_changes

__all__ = ["KEY_HEADER", "TASK_ENDPOINTS", "accepted", "claimed", "event_text"]

_HEAVY = {"prompt", "reply", "evidence"}
_KEY_CHARS = 200
KEY_HEADER = {"Idempotency-Key": "Repeating a request with the same key gives the same task."}


async def _submit(call: Call) -> Response:
    body: TaskIn = call.body
    services, token = call.services, call.token
    workspace = services.workspace_of(body.workspace, token=token)
    task_id, known = await claimed(call)
    task = None
    if not known:
        task = await services.cluster.accept(
            body.objective,
            task_id=task_id,
            workspace=workspace,
            check=body.check,
            inline=body.files,
            targets=body.targets,
            budget_tokens=body.budget_tokens,
            budget_usd=body.budget_usd,
            timeout_seconds=body.timeout_seconds,
            scope=TaskScope(workspace=str(workspace or ""), module=body.module, task_family=body.family),
            workload=body.workload,
            review=body.review,
            divide=body.divide,
            to=body.to,
            labels={**body.labels, **_context(call), "client": token.name},
        )
    return await accepted(call, task_id, task, known=known)


async def claimed(call: Call) -> tuple[str, bool]:
    """The id of the task that a request makes, and whether an equal request (by its key) has made it.

    Raises:
        TaskInvalid: the key is too long.
        IdempotencyConflict: the key was used for something else.
    """
    key = call.request.headers.get("idempotency-key", "")
    if len(key) > _KEY_CHARS:
        raise TaskInvalid(problem=f"the Idempotency-Key is longer than {_KEY_CHARS} characters")
    task_id = new_id(now=call.services.clock.now())
    if not key:
        return task_id, False
    asked = "" if call.request.url.path == "/v1/tasks" else call.request.url.path
    fingerprint = hashlib.sha256((asked + call.body.model_dump_json()).encode()).hexdigest()
    task_id = call.services.tokens.claim(call.token.id, key, fingerprint, task_id)
    return task_id, bool(await _existing(call, task_id))


async def accepted(call: Call, task_id: str, task: TaskRow | None = None, *, known: bool = False) -> Response:
    """The answer to a request that made a task; it is read where it is not at hand."""
    found = task or await call.services.cluster.task(task_id)
    return Response(
        task_view(found).model_dump_json(),
        200 if known else 201,
        {"Location": f"/v1/tasks/{task_id}", "Cache-Control": "no-store"},
        "application/json",
    )


def _context(call: Call) -> dict[str, str]:
    """The client's trace, when it sent one."""
    given = call.request.headers.get("traceparent", "")
    return {TRACEPARENT_LABEL: given.strip().lower()} if parse_traceparent(given) else {}


async def _existing(call: Call, task_id: str) -> list[str]:
    from hal9.journal import tasks  # noqa: PLC0415 - the module's name is this one's too

    return await call.services.cluster.read(lambda connection: tasks.resolve_task_id(connection, task_id))


async def _list(call: Call) -> Page[TaskLine]:
    query: TasksQuery = call.query
    before = cursor_number(query.cursor)
    rows = await call.services.cluster.read(
        lambda connection: page_of_tasks(connection, limit=query.limit + 1, before=before, state=query.state)
    )
    shown = [TaskLine.model_validate(one, from_attributes=True) for one in rows[: query.limit]]
    return Page(items=shown, next=str(shown[-1].seq) if len(rows) > query.limit else None)


def cursor_number(cursor: str) -> int | None:
    """The number in a page's cursor, or None at the start.

    Raises:
        CursorInvalid: this server gives no such cursor.
    """
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise CursorInvalid(given=cursor)
    return int(cursor)


async def _get(call: Call) -> TaskView:
    return task_view(await call.services.cluster.task(call.path("id")))


async def _steps(call: Call) -> list[StepRecord]:
    return await call.services.cluster.steps(call.path("id"))


async def _diff(call: Call) -> Response:
    task = await call.services.cluster.task(call.path("id"))
    try:
        data = await asyncio.to_thread(_patch, call.services.home.changes, task.id)
    except ChangesMissing:
        # Made on another host, or too long ago: what the result itself says.
        changes = task.result.changes if task.result else []
        ended = (one.diff if one.diff.endswith("\n") or not one.diff else one.diff + "\n" for one in changes)
        data = "".join(ended).encode("utf-8", "surrogateescape")
    return Response(data, media_type="text/x-diff; charset=utf-8")


def _patch(folder: Path, task_id: str) -> bytes:
    """The very bytes that `hal9 patch` writes."""
    return "".join(find_changes(folder, task_id).kept.patch()).encode("utf-8", "surrogateescape")


async def _cancel(call: Call) -> TaskView:
    cluster = call.services.cluster
    await cluster.cancel(call.path("id"), reason=call.body.reason)
    return task_view(await cluster.task(call.path("id")))


async def _feedback(call: Call) -> Answer:
    body: FeedbackIn = call.body
    given = body.model_dump(exclude_defaults=True)
    return await ask(call.services, "feedback", given, task_id=call.path("id"))


async def _task_events(call: Call) -> Response:
    return await _stream(call, task_id=await call.services.cluster.resolve(call.path("id")))


async def _all_events(call: Call) -> Response:
    return await _stream(call, task_id=None)


async def _stream(call: Call, *, task_id: str | None) -> Response:
    """Server-sent events; an id per event, so that a client that comes back misses nothing."""
    query: EventsQuery = call.query
    hub = call.services.hub
    last = call.request.headers.get("last-event-id", "").strip()
    after = cursor_number(last) if last else query.after
    if after is None:
        after = 0 if task_id is not None else hub.last
    stream = hub.listen(after=after, task_id=task_id, progress=query.progress)
    items = await stream.__aenter__()

    async def write() -> AsyncIterator[str]:
        # Something at once, so that a client knows that it is connected.
        yield "retry: 1000\n\n"
        async for item in items:
            yield ": still here\n\n" if item is None else event_text(item, full=query.full)
            if task_id is not None and isinstance(item, TaskEvent) and item.state in TERMINAL:
                return

    async def close() -> None:
        await stream.__aexit__(None, None, None)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(write(), close, headers=headers, media_type="text/event-stream")


class _Stream(StreamingResponse):
    """A stream that gives up its place also when the client goes away in the middle."""

    def __init__(
        self, content: AsyncIterator[str], close: Callable[[], Awaitable[None]], **rest: Any
    ) -> None:
        super().__init__(content, **rest)
        self._close = close

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()


def event_text(item: TaskEvent | Progress, *, full: bool = False) -> str:
    """One event as server-sent text; what has a number can be resumed from."""
    if isinstance(item, Progress):
        data = {"task_id": item.task_id, "source": item.source, "event": item.event, "detail": item.detail}
        return f"event: progress\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
    if item.step is not None:
        step = item.step.model_dump_json(exclude=None if full else _HEAVY)
        return f"id: {item.seq}\nevent: step\ndata: {step}\n\n"
    change = {"id": item.task_id, "state": item.state, "at": item.at}
    return f"id: {item.seq}\nevent: task\ndata: {json.dumps(change)}\n\n"


async def _upload(call: Call) -> dict[str, str]:
    data = await read_body(call.request, call.services.uploads.limit)
    if not data:
        raise ArchiveRefused(problem="it is empty")
    await _forget_old(call)
    name = await call.services.uploads.add(data, owner=call.token.id)
    return {"workspace": f"upload:{name}"}


async def _forget_old(call: Call) -> None:
    """Remove uploads that are too old and that no open task uses."""
    services = call.services
    rows = await services.cluster.read(
        lambda connection: connection.execute(
            "SELECT payload ->> '$.workspace' FROM tasks WHERE state IN ('queued', 'running')"
        ).fetchall()
    )
    oldest = services.clock.now() - services.settings.uploads_keep_hours * 3600.0
    used = {str(row[0]) for row in rows}
    await asyncio.to_thread(services.uploads.forget, older_than=oldest, used=used)


async def _download(call: Call) -> Response:
    data = await call.services.uploads.archive(call.path("upload"), owner=call.token.id)
    return Response(data, media_type="application/gzip")


_ARCHIVES = ("application/gzip", "application/x-tar", "application/zip", "application/octet-stream")

TASK_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/tasks",
        scope="submit",
        handler=_submit,
        summary="Accept a task; it cannot be lost once this has answered.",
        tag="tasks",
        body=TaskIn,
        returns=TaskView,
        status=201,
        headers=KEY_HEADER,
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks",
        scope="read",
        handler=_list,
        summary="Tasks, newest first.",
        tag="tasks",
        query=TasksQuery,
        returns=Page[TaskLine],
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks/{id}",
        scope="read",
        handler=_get,
        summary="A task by its id, its beginning, its end, or `last`; with its result when there is one.",
        tag="tasks",
        returns=TaskView,
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks/{id}/steps",
        scope="read",
        handler=_steps,
        summary="What neurons did for it, in order.",
        tag="tasks",
        returns=list[StepRecord],
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks/{id}/diff",
        scope="read",
        handler=_diff,
        summary="What it changed in its workspace, as a unified diff.",
        tag="tasks",
        returns=str,
        media="text/x-diff",
    ),
    Endpoint(
        method="GET",
        path="/v1/tasks/{id}/events",
        scope="read",
        handler=_task_events,
        summary="Follow a task: server-sent events that resume from an event's id; ends with the task.",
        tag="events",
        query=EventsQuery,
        returns=str,
        media="text/event-stream",
    ),
    Endpoint(
        method="GET",
        path="/v1/events",
        scope="read",
        handler=_all_events,
        summary="Follow everything: server-sent events from now on, or from an event's id.",
        tag="events",
        query=EventsQuery,
        returns=str,
        media="text/event-stream",
    ),
    Endpoint(
        method="POST",
        path="/v1/tasks/{id}/cancel",
        scope="submit",
        handler=_cancel,
        summary="End a task.",
        tag="tasks",
        body=CancelIn,
        returns=TaskView,
    ),
    Endpoint(
        method="POST",
        path="/v1/tasks/{id}/feedback",
        scope="feedback",
        handler=_feedback,
        summary="Say what you think of its answer; the cluster learns from it.",
        tag="tasks",
        body=FeedbackIn,
        returns=Answer,
    ),
    Endpoint(
        method="POST",
        path="/v1/workspaces",
        scope="submit",
        handler=_upload,
        summary="Bring a workspace along as tar, tar.gz, tar.xz or zip; a task may then name it.",
        tag="workspaces",
        upload=_ARCHIVES,
        returns=dict[str, str],
        status=201,
    ),
    Endpoint(
        method="GET",
        path="/v1/workspaces/{upload}",
        scope="read",
        handler=_download,
        summary="An uploaded workspace as it is now, as tar.gz.",
        tag="workspaces",
        returns=bytes,
        media="application/gzip",
    ),
)
