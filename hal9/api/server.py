"""The server: the app, its socket, its place in the home, its orderly end."""

import asyncio
import contextlib
import fcntl
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from email.utils import formatdate
from functools import cache, partial
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hal9.api.endpoint import Endpoint, problem_response, route_of
from hal9.api.openapi import describe
from hal9.api.place import last_port, lock_file, served_at, write_place
from hal9.api.problems import MEDIA_TYPE
from hal9.api.routes.cluster import CLUSTER_ENDPOINTS
from hal9.api.routes.follow_ups import FOLLOW_UP_ENDPOINTS
from hal9.api.routes.learning import LEARNING_ENDPOINTS
from hal9.api.routes.questions import QUESTION_ENDPOINTS
from hal9.api.routes.rules import RULE_ENDPOINTS
from hal9.api.routes.tasks import TASK_ENDPOINTS
from hal9.api.services import Services, reachable_from_outside
from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.errors.api import (
    AddressUnavailable,
    AgentProtocolMissing,
    ApiRunning,
    HostRefused,
    PlaintextRefused,
    TlsUnusable,
)
from hal9.errors.base import Hal9Error
from hal9.settings import ApiSettings

__all__ = ["ENDPOINTS", "ApiServer", "build_app"]

_log = logging.getLogger("hal9.api.server")
ENDPOINTS: tuple[Endpoint, ...] = (
    *TASK_ENDPOINTS,
    *FOLLOW_UP_ENDPOINTS,
    *QUESTION_ENDPOINTS,
    *LEARNING_ENDPOINTS,
    *RULE_ENDPOINTS,
    *CLUSTER_ENDPOINTS,
)
Extension = Callable[[Services], AbstractAsyncContextManager[Sequence[BaseRoute]]]
_GRACE_SECONDS = 3
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


def build_app(services: Services, *, more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The whole application: endpoints, further routes (the dashboard's), and the checks around them."""
    app = Starlette(
        routes=[*(route_of(one, services) for one in ENDPOINTS), *more],
        exception_handlers={HTTPException: _plain_problem, Hal9Error: _known_problem, Exception: _unexpected},
    )
    app.state.openapi = cache(partial(describe, ENDPOINTS))  # made when it is asked for: it takes a while
    app.state.services = services
    return _Guard(app, services.settings)


async def _plain_problem(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such path, wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    detail = error.detail if isinstance(error, HTTPException) else ""
    body = {
        "type": "about:blank",
        "title": detail,
        "status": status,
        "detail": f"{request.method} {request.url.path[:200]}: {detail.lower()}",
        "error": "api.ServerRefused",
        "facts": {"text": detail, "code": status},
        "exit_code": 1,
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def _known_problem(request: Request, error: Exception) -> Response:
    return problem_response(error) if isinstance(error, Hal9Error) else await _unexpected(request, error)


async def _unexpected(request: Request, error: Exception) -> Response:
    # The traceback is in the log (Starlette raises it again); the client gets no inner matters.
    _log.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    body = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "an error of the server's own; its log says more",
        "error": "api.ServerRefused",
        "facts": {"text": "an error of the server's own", "code": 500},
        "exit_code": 1,
    }
    return JSONResponse(body, 500, media_type=MEDIA_TYPE)


class _Guard:
    """Before anything else: is this server meant at all? After everything: headers every answer carries.

    A page on the web may make a browser send requests to a name that it points at this machine; such
    requests name that host, which is none of ours.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._names = {name.lower() for name in (*_LOCAL_NAMES, settings.host, *settings.names)}
        self._any = settings.host in ("0.0.0.0", "::") and not settings.names  # noqa: S104 - a comparison

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        name = host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
        app = self._app
        if not self._any and name not in self._names:
            app = problem_response(HostRefused(given=host))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {key.lower() for key, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    (b"date", formatdate(usegmt=True).encode("ascii")),
                    *((key, value) for key, value in _HEADERS.items() if key not in present),
                ]
            await send(message)

        await app(scope, receive, send_guarded)


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the process, and does not look ten times a second whether to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Uvicorn's also renews the Date header and counts requests: `_Guard` dates, nobody counts."""
        await self._ending.wait()

    def end(self) -> None:
        """Take no more requests, finish those under way."""
        self.should_exit = True
        self._ending.set()


async def _started(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0.005)


class ApiServer:
    """Serves a home's API; use it with `async with`, then read `url`.

    Args:
        home: the cluster's home.
        more: gives further routes (the dashboard's) for as long as the server runs.
        clock: time.

    Raises:
        ApiRunning, AddressUnavailable, PlaintextRefused, TlsUnusable: on entering; nothing is left running.
    """

    def __init__(
        self,
        home: Home,
        *,
        more: "Extension | None" = None,
        clock: Clock | None = None,
    ) -> None:
        self.home = home
        self.services = Services(home, clock=clock)
        self._more = more
        self._stack = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        settings = self.services.settings
        tls = _tls(settings)
        async with AsyncExitStack() as stack:
            self.home.make_state()
            self._take_lock(stack)
            bound = self._bind(settings)
            stack.callback(bound.close)
            await stack.enter_async_context(self.services)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            more = await stack.enter_async_context(self._more(self.services)) if self._more else ()
            if settings.a2a:
                more = (*more, *_agent_routes(self.services, _url_of(bound, secure=tls is not None)))
            server = _Uvicorn(_config(build_app(self.services, more=more), tls))
            running = group.create_task(server.serve(sockets=[bound]), name="api server")
            stack.push_async_callback(self._end, server, running)
            await _started(server)
            self._write_place(bound, secure=tls is not None)
            self._stack = stack.pop_all()
        _log.info("serving at %s", self.url)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def _end(self, server: _Uvicorn, running: "asyncio.Task[None]") -> None:
        """Streams first, or the server would wait for them."""
        self.services.hub.close()
        server.end()
        await asyncio.shield(running)

    def _take_lock(self, stack: AsyncExitStack) -> None:
        lock = stack.enter_context(lock_file(self.home))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ApiRunning(url=served_at(self.home) or "an address of its own") from None

    def _bind(self, settings: ApiSettings) -> socket.socket:
        """The listening socket; without a set port the last one again, so that bookmarks stay good."""
        ports = [settings.port] if settings.port else [last_port(self.home), 0]
        problem = ""
        for port in ports:
            try:
                return _listen(settings.host, port)
            except OSError as error:
                problem = error.strerror or str(error)
        raise AddressUnavailable(host=settings.host, port=settings.port, detail=problem)

    def _write_place(self, bound: socket.socket, *, secure: bool) -> None:
        self.url = _url_of(bound, secure=secure)
        write_place(self.home, self.url, bound.getsockname()[1])


def _url_of(bound: socket.socket, *, secure: bool) -> str:
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}"


def _agent_routes(services: Services, url: str) -> Sequence[BaseRoute]:
    """The A2A protocol.

    Raises:
        AgentProtocolMissing: its library is not installed.
    """
    try:
        from hal9.api.routes.agent_protocol import a2a_routes  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise AgentProtocolMissing(library=error.name or "a2a") from error
    return a2a_routes(services, url)


def _tls(settings: ApiSettings) -> ssl.SSLContext | None:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise TlsUnusable(detail="one of the two is missing")
    if settings.tls_certificate is None:
        if reachable_from_outside(settings.host) and not settings.allow_plaintext:
            raise PlaintextRefused(host=settings.host)
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ValueError) as error:
        raise TlsUnusable(detail=str(error)) from error
    return context


def _listen(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    # Named TCP: asyncio sets TCP_NODELAY only then, and without it every answer waits 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(2048)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _config(app: ASGIApp, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # `_Guard` writes it: uvicorn wakes up every second for it
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # Longer than clients keep a connection: closing one while a request comes is an error there.
        timeout_keep_alive=75,
    )
    config.load()
    config.ssl = tls
    return config
