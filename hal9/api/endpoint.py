"""One table of endpoints gives the routes, the checks before each handler, and the OpenAPI schema."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hal9.api.problems import MEDIA_TYPE, headers_of, problem_of, status_of
from hal9.api.tokens import Token, TokenScope
from hal9.errors.api import BodyTooLarge, RequestInvalid, ScopeMissing, StoreBusy, TokenRefused
from hal9.errors.base import Hal9Error

if TYPE_CHECKING:
    from hal9.api.services import Services

__all__ = ["Call", "Endpoint", "problem_response", "read_body", "route_of"]

_log = logging.getLogger("hal9.api")
M = TypeVar("M", bound=BaseModel)
_PROBLEMS_SHOWN = 20


@dataclass(slots=True)
class Call:
    """One request after all checks: who asks, and what was given, typed."""

    request: Request
    services: "Services"
    token: Token
    body: Any = None
    query: Any = None

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation.

    Args:
        scope: what a token must be good for (None asks for no token).
        returns: type of the answer (None is an empty one).
            A handler may also return a response of its own.
        media: content type of the answer where it is not JSON.
        upload: the body is raw bytes of these content types.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: TokenScope | None
    handler: Handler
    summary: str
    tag: str
    returns: Any = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    media: str = "application/json"
    upload: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: as soon as more than `limit` bytes are announced or have come.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge(limit=limit)
    parts, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit=limit)
        parts.append(chunk)
    return b"".join(parts)


def problem_response(error: Hal9Error) -> Response:
    """An error as a response."""
    headers = {"Cache-Control": "no-store", **headers_of(error)}
    return JSONResponse(
        problem_of(error), status_code=status_of(error), media_type=MEDIA_TYPE, headers=headers
    )


def route_of(endpoint: Endpoint, services: "Services") -> Route:
    """A route that checks host, token, rate, body and query, and turns every error into a problem."""
    adapter = TypeAdapter(endpoint.returns) if endpoint.returns is not None else None

    async def serve(request: Request) -> Response:
        try:
            call = await _checked(endpoint, services, request)
            value = await endpoint.handler(call)
        except Hal9Error as error:
            if status_of(error) >= 500:
                _log.warning("%s %s: %s", request.method, request.url.path, error)
            return problem_response(error)
        except sqlite3.OperationalError as error:
            _log.warning("%s %s: %s", request.method, request.url.path, error)
            return problem_response(StoreBusy(detail=str(error)))
        except ClientDisconnect:
            return Response(status_code=400)
        if isinstance(value, Response):
            return value
        headers = {"Cache-Control": "no-store"}
        if adapter is None:
            return Response(status_code=204, headers=headers)
        return Response(adapter.dump_json(value), endpoint.status, headers, endpoint.media)

    return Route(endpoint.path, serve, methods=[endpoint.method])


async def _checked(endpoint: Endpoint, services: "Services", request: Request) -> Call:
    token = None
    if endpoint.scope is not None:
        token = services.token_of(request)
        if token is None:
            raise TokenRefused
        if not token.allows(endpoint.scope):
            raise ScopeMissing(scope=endpoint.scope)
    call = Call(request, services, token or services.nobody)
    if endpoint.query is not None:
        call.query = _model(endpoint.query, dict(request.query_params), "query")
    if endpoint.body is not None:
        data = await read_body(request, services.settings.max_body_mb * 1024 * 1024)
        try:
            call.body = endpoint.body.model_validate_json(data or b"{}")
        except ValidationError as error:
            raise RequestInvalid(problems=_problems(error, "body")) from error
        except UnicodeEncodeError as error:
            raise RequestInvalid(problems=(f"body: no Unicode text: {error.reason}",)) from error
    return call


def _model(model: type[M], value: Any, where: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestInvalid(problems=_problems(error, where)) from error


def _problems(error: ValidationError, where: str) -> tuple[str, ...]:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:_PROBLEMS_SHOWN]
    return tuple(
        f"{'.'.join((where, *(str(part) for part in one['loc'])))}: {one['msg'][:1].lower()}{one['msg'][1:]}"
        for one in found
    )
