"""A2A: other agents find this cluster by its card and hand it tasks, by the protocol's own SDK.

An A2A task is a task of the cluster with the same id, so that it outlives the server as any other does. A
message to a task that waits for a person answers its question; one to a task that is over goes on with it.
"""

import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Artifact,
    CancelTaskRequest,
    GetTaskRequest,
    HTTPAuthSecurityScheme,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    Part,
    Role,
    SecurityRequirement,
    SecurityScheme,
    SendMessageRequest,
    StringList,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InvalidParamsError,
    InvalidRequestError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hal9 import __version__
from hal9.api.endpoint import problem_response
from hal9.api.routes.questions import questions
from hal9.api.services import Services
from hal9.api.tokens import Token, TokenScope
from hal9.errors.api import ScopeMissing, TokenRefused
from hal9.errors.base import Hal9Error
from hal9.errors.cluster import TaskFinished, TaskUnknown
from hal9.journal.events import TaskEvent
from hal9.journal.listing import page_of_tasks
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.neurons import known_purposes

__all__ = ["a2a_routes", "agent_card"]

PATH = "/a2a"
_CONTEXT = "a2a.context"
_MESSAGE = "a2a.message"
_PAGE = 50
_STATES = {
    "queued": TaskState.TASK_STATE_SUBMITTED,
    "running": TaskState.TASK_STATE_WORKING,
    "done": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
    "cancelled": TaskState.TASK_STATE_CANCELED,
}


def a2a_routes(services: Services, url: str) -> Sequence[BaseRoute]:
    """The card and the JSON-RPC endpoint.

    Args:
        services: what handlers work with.
        url: under which this server is reached.
    """
    (rpc,) = create_jsonrpc_routes(_Handler(services), PATH, context_builder=_Contexts(services))
    return [*create_agent_card_routes(agent_card(services, url)), _guarded(services, rpc)]


def agent_card(services: Services, url: str) -> AgentCard:
    """What this cluster says of itself to other agents."""
    skills = [
        AgentSkill(
            id=name,
            name=name,
            description=one.description or f"A neuron of layer {one.layer}.",
            tags=[f"layer{one.layer}", *one.files],
        )
        for name, one in known_purposes(services.home.neurons).items()
    ]
    return AgentCard(
        name="HAL9",
        description="A cluster of language-model neurons that plans, works and learns from its errors.",
        version=__version__,
        supported_interfaces=[
            AgentInterface(url=f"{url}{PATH}", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain", "application/json"],
        default_output_modes=["text/plain"],
        skills=skills,
        security_schemes={
            "token": SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer"))
        },
        security_requirements=[SecurityRequirement(schemes={"token": StringList(list=[])})],
    )


def _guarded(services: Services, rpc: Route) -> Route:
    """The endpoint behind the same tokens as all others."""

    async def serve(request: Request) -> Response:
        try:
            token = services.token_of(request)
            if token is None:
                raise TokenRefused
            if not token.allows("read"):
                raise ScopeMissing(scope="read")
        except Hal9Error as error:
            return problem_response(error)
        request.state.hal9_token = token
        answered: Response = await rpc.endpoint(request)
        return answered

    return Route(PATH, serve, methods=["POST"])


class _Client(User):
    def __init__(self, token: Token) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return self.token.name


class _Contexts(ServerCallContextBuilder):
    def __init__(self, services: Services) -> None:
        self._services = services

    def build(self, request: Request) -> ServerCallContext:
        return ServerCallContext(
            user=_Client(request.state.hal9_token), state={"headers": dict(request.headers)}
        )


@contextlib.contextmanager
def _as_protocol() -> Iterator[None]:
    """Errors of the cluster as the protocol's."""
    try:
        yield
    except TaskUnknown as error:
        raise TaskNotFoundError(str(error)) from error
    except TaskFinished as error:
        raise TaskNotCancelableError(str(error)) from error
    except ScopeMissing as error:
        raise InvalidRequestError(str(error)) from error
    except Hal9Error as error:
        raise InvalidParamsError(str(error)) from error


def _token(context: ServerCallContext, scope: TokenScope) -> Token:
    client = context.user
    if not isinstance(client, _Client):
        raise InvalidRequestError("no token")
    if not client.token.allows(scope):
        raise ScopeMissing(scope=scope)
    return client.token


class _Handler(RequestHandler):
    """The protocol's operations over the cluster's journal."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._cluster = services.cluster

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        with _as_protocol():
            task_id = await self._accepted(params, context)
        if params.configuration.return_immediately:
            return await self._task(task_id)
        async for _ in self._events(task_id):
            pass
        return await self._task(task_id)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        with _as_protocol():
            task_id = await self._accepted(params, context)
        async for event in self._events(task_id):
            yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        with _as_protocol():
            row = await self._row(params.id)
        if row.state in TERMINAL:
            raise UnsupportedOperationError(f"task {row.id} is {row.state}: nothing more will happen to it")
        async for event in self._events(row.id):
            yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        with _as_protocol():
            return await self._task(params.id)

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        size = min(params.page_size or _PAGE, 100)
        if params.page_token and not params.page_token.isdigit():
            raise InvalidParamsError(f"this server gives no page token {params.page_token[:40]!r}")
        before = int(params.page_token) if params.page_token else None
        rows = await self._cluster.read(
            lambda connection: page_of_tasks(connection, limit=size + 1, before=before)
        )
        found = [await self._task(one.id) for one in rows[:size]]
        wanted = [
            one
            for one in found
            if (not params.context_id or one.context_id == params.context_id)
            and (not params.status or one.status.state == params.status)
        ]
        token = str(rows[size - 1].seq) if len(rows) > size else ""
        return ListTasksResponse(tasks=wanted, next_page_token=token, page_size=size, total_size=len(wanted))

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        with _as_protocol():
            _token(context, "submit")
            row = await self._row(params.id)
            await self._cluster.cancel(row.id, reason="cancelled by an agent")
        if (await self._cluster.status()).get("state") == "ready":
            await self._cluster.wait(row.id)
        return await self._task(row.id)

    async def on_create_task_push_notification_config(self, params: Any, context: ServerCallContext) -> Any:
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(self, params: Any, context: ServerCallContext) -> Any:
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(self, params: Any, context: ServerCallContext) -> Any:
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(self, params: Any, context: ServerCallContext) -> None:
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(self, params: Any, context: ServerCallContext) -> AgentCard:
        raise UnsupportedOperationError("there is one card for everybody")

    # --- how it is done -----------------------------------------------------------------------

    async def _row(self, task_id: str) -> TaskRow:
        row = await self._cluster.task(task_id)
        if row.id != task_id:
            raise TaskUnknown(given=task_id)  # the protocol knows whole ids only
        return row

    async def _accepted(self, params: SendMessageRequest, context: ServerCallContext) -> str:
        """Take a message in; returns the id of the task that it began or goes on with."""
        token = _token(context, "submit")
        message = params.message
        words = _words(message)
        if message.task_id:
            row = await self._row(message.task_id)
            asked = [one for one in await questions(self._cluster) if one.task_id == row.id]
            if asked:
                _token(context, "approve")
                return await self._cluster.answer_question(asked[0].id, words)
            if row.state not in TERMINAL:
                raise UnsupportedOperationError(f"task {row.id} is {row.state} and asks nothing")
            self._services.check_reuse(row.payload.workspace, token=token)
            return await self._cluster.reply(row.id, words)
        given = {str(key): value for key, value in message.metadata.items()}
        labels = {"client": token.name, _MESSAGE: message.message_id}
        if message.context_id:
            labels[_CONTEXT] = message.context_id
        workspace = self._services.workspace_of(_text(given.get("workspace")), token=token)
        return await self._cluster.submit(
            words,
            workspace=workspace,
            check=_text(given.get("check")),
            to=_text(given.get("to")),
            labels=labels,
        )

    async def _events(self, task_id: str) -> AsyncGenerator[Any]:
        """The task as it is now, then its changes until it ends or waits for somebody."""
        seen = self._services.hub.last
        task = await self._task(task_id)
        yield task
        if _rests(task.status.state):
            return
        async with self._services.hub.listen(after=seen, task_id=task_id) as items:
            async for item in items:
                if isinstance(item, TaskEvent) and item.step is not None:
                    step = item.step
                    said = _said(task, f"{step.neuron} {step.kind} {step.outcome}", number=item.seq)
                    status = TaskStatus(state=TaskState.TASK_STATE_WORKING, message=said)
                    yield _status_update(task, status)
                    continue
                if isinstance(item, TaskEvent) and item.state not in TERMINAL:
                    yield _status_update(task, TaskStatus(state=_STATES[item.state or "running"]))
                    continue
                # It is over, or silent: somebody may be asked meanwhile.
                now = await self._task(task_id)
                if not _rests(now.status.state):
                    continue
                for artifact in now.artifacts:
                    yield TaskArtifactUpdateEvent(
                        task_id=task_id, context_id=now.context_id, artifact=artifact, last_chunk=True
                    )
                yield _status_update(now, now.status)
                return

    async def _task(self, task_id: str) -> Task:
        row = await self._row(task_id)
        asked = (
            [one for one in await questions(self._cluster) if one.task_id == row.id]
            if row.state == "running"
            else []
        )
        labels = row.payload.labels
        task = Task(id=row.id, context_id=labels.get(_CONTEXT) or row.id)
        state = TaskState.TASK_STATE_INPUT_REQUIRED if asked else _STATES[row.state]
        moment = Timestamp()
        moment.FromMilliseconds(int((row.finished_at or row.started_at or row.created_at) * 1000))
        task.status.CopyFrom(TaskStatus(state=state, timestamp=moment))
        if asked:
            task.status.message.CopyFrom(_said(task, asked[0].text, number=0))
        elif row.result is not None and row.result.error is not None:
            error = row.result.error
            task.status.message.CopyFrom(_said(task, f"{error.reason}: {error.message}", number=0))
        task.history.append(
            Message(
                message_id=labels.get(_MESSAGE) or f"{row.id}-objective",
                task_id=row.id,
                context_id=task.context_id,
                role=Role.ROLE_USER,
                parts=[Part(text=row.payload.objective)],
            )
        )
        task.artifacts.extend(_artifacts(row))
        return task


def _rests(state: int) -> bool:
    """Whether nothing more happens before somebody else acts."""
    return state not in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


def _status_update(task: Task, status: TaskStatus) -> TaskStatusUpdateEvent:
    return TaskStatusUpdateEvent(task_id=task.id, context_id=task.context_id, status=status)


def _said(task: Task, words: str, *, number: int) -> Message:
    return Message(
        message_id=f"{task.id}-{number}",
        task_id=task.id,
        context_id=task.context_id,
        role=Role.ROLE_AGENT,
        parts=[Part(text=words)],
    )


def _artifacts(row: TaskRow) -> list[Artifact]:
    result = row.result
    if result is None:
        return []
    found = []
    if result.answer:
        found.append(Artifact(artifact_id="answer", name="answer", parts=[Part(text=result.answer)]))
    if result.changes:
        diff = "".join(f"{one.diff.rstrip()}\n" for one in result.changes)
        found.append(
            Artifact(artifact_id="changes", name="changes", parts=[Part(text=diff, media_type="text/x-diff")])
        )
    return found


def _words(message: Message) -> str:
    """What a message says: its text parts, and its data as JSON.

    Raises:
        ContentTypeNotSupportedError: a part is a file.
        InvalidParamsError: it says nothing.
    """
    said = []
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            said.append(part.text)
        elif kind == "data":
            from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - only such parts need it

            said.append(json.dumps(MessageToDict(part.data), ensure_ascii=False))
        else:
            raise ContentTypeNotSupportedError(
                "files are not taken; upload a workspace (POST /v1/workspaces), name it in metadata.workspace"
            )
    if not "".join(said).strip():
        raise InvalidParamsError("the message has no text")
    return "\n\n".join(said)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidParamsError("workspace, check and to are texts")
    return value
