"""The dashboard's routes: who may see them, what they show, what their buttons do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from hal9.api.problems import status_of
from hal9.api.services import COOKIE, Services
from hal9.api.tokens import SCOPES, Token, TokenScope
from hal9.dashboard import actions, pages
from hal9.dashboard.pulse import Pulse, change_lines
from hal9.dashboard.render import SECURITY, page_response, render
from hal9.dashboard.view import View
from hal9.errors.api import ScopeMissing
from hal9.errors.base import Hal9Error

__all__ = ["dashboard"]

_SESSION_SECONDS = 7 * 86400.0
_FORM_BYTES = 512 * 1024


Page = Callable[[View], Awaitable[tuple[str, Mapping[str, Any]]]]
Action = Callable[[View, Mapping[str, str]], Awaitable[tuple[str, str]]]


@asynccontextmanager
async def dashboard(services: Services) -> AsyncIterator[Sequence[BaseRoute]]:
    """Routes of the dashboard for as long as the server runs."""
    async with Pulse(services.hub, clock=services.clock) as pulse:
        yield [
            Route("/login", _login(services), methods=["GET", "POST"]),
            Route("/logout", _logout, methods=["POST"]),
            *(Route(path, _page(services, pulse, page)) for path, page in _PAGES.items()),
            *(
                Route(path, _action(services, pulse, scope, action), methods=["POST"])
                for path, (scope, action) in _ACTIONS.items()
            ),
            Route("/ui/changes", _changes(services, pulse)),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]


def _page(services: Services, pulse: Pulse, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            token = services.token_of(request)
            if token is None or not token.allows("read"):
                after = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
                return RedirectResponse(f"/login?next={after}", 303, SECURITY)
            # The script asks for the part that changes, as all do who were told of the same change.
            if request.headers.get("x-part"):
                key = (request.url.path, request.url.query, token.scopes)
                text = await pulse.shared(key, partial(draw, request, token, "fragment.html"))
            else:
                text = await draw(request, token, "base.html")
        except Hal9Error as error:
            return _problem_page(error)
        return HTMLResponse(text, headers=SECURITY)

    async def draw(request: Request, token: Token, frame: str) -> str:
        view = View(request, services, pulse, token, pulse.mark())
        template, values = await page(view)
        return render(template, frame=frame, **view.frame(template.removesuffix(".html")), **values)

    return serve


def _problem_page(error: Hal9Error) -> Response:
    return page_response("problem.html", code=status_of(error), message=str(error), title="Not possible")


def _action(
    services: Services, pulse: Pulse, scope: TokenScope, action: Action
) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            token = services.token_of(request)
            if token is None:
                return RedirectResponse("/login", 303, SECURITY)
            if not token.allows(scope):
                raise ScopeMissing(scope=scope)
            form = await _form(request)
            back, note = await action(View(request, services, pulse, token), form)
        except Hal9Error as error:
            return _back(request, f"problem={quote(str(error))}")
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}told={quote(note)}", 303, SECURITY)

    return serve


def _back(request: Request, query: str) -> Response:
    """To the page that the form stood on."""
    path = request.headers.get("referer", "/").partition("://")[2].partition("/")[2]
    path = "/" + path.partition("?")[0].partition("#")[0]
    return RedirectResponse(f"{path}?{query}", 303, SECURITY)


async def _form(request: Request) -> Mapping[str, str]:
    from urllib.parse import parse_qsl  # noqa: PLC0415 - only forms need it

    from hal9.api.endpoint import read_body  # noqa: PLC0415 - likewise

    data = await read_body(request, _FORM_BYTES)
    return dict(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


def _login(services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        after = request.query_params.get("next", "/")
        after = after if after.startswith("/") and not after.startswith(("//", "/\\")) else "/"
        code = request.query_params.get("code", "")
        wrong = ""
        try:
            services.slow_strangers(request)
            if code:
                if services.tokens.use_code(code):
                    return _entered(services, request, None, after)
                wrong = "This link was used already or is too old; `hal9 dashboard` makes a new one."
            elif request.method == "POST":
                form = await _form(request)
                after = form.get("next", "/") if form.get("next", "").startswith("/") else "/"
                text = form.get("token", "").strip()
                token = services.tokens.check(text) if text else None
                if token is not None and token.allows("read"):
                    return _entered(services, request, text, after)
                wrong = "This is no valid token for reading."
        except Hal9Error as error:
            return _problem_page(error)
        return page_response("login.html", code=401 if wrong else 200, wrong=wrong, after=after)

    return serve


def _entered(services: Services, request: Request, text: str | None, after: str) -> Response:
    """A session: the client's own token, or for a one-time link a new one."""
    if text is None:
        name = f"browser {services.clock.now():.6f}"
        _, text = services.tokens.create(name, SCOPES, lifetime_seconds=_SESSION_SECONDS, hidden=True)
    response = RedirectResponse(after, 303, SECURITY)
    response.set_cookie(
        COOKIE,
        text,
        max_age=int(_SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _logout(_request: Request) -> Response:
    response = RedirectResponse("/login", 303, SECURITY)
    response.delete_cookie(COOKIE)
    return response


def _changes(services: Services, pulse: Pulse) -> Callable[[Request], Awaitable[Response]]:
    """Tells the script when to look again; nothing else, so that a watcher costs almost nothing."""

    async def serve(request: Request) -> Response:
        token = services.token_of(request)
        if token is None or not token.allows("read"):
            return Response(status_code=401)
        # A browser that comes back names the last change it was told of; before that, what its page shows.
        seen = request.headers.get("last-event-id") or request.query_params.get("seen", "")
        return StreamingResponse(
            change_lines(services.hub, pulse, seen=seen, task_id=request.query_params.get("task") or None),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    return serve


_PAGES: dict[str, Page] = {
    "/": pages.now,
    "/tasks": pages.tasks,
    "/tasks/{id}": pages.task,
    "/learning": pages.learning,
    "/learning/ledger": pages.ledger,
    "/learning/curves": pages.curves,
    "/inbox": pages.inbox,
    "/workloads": pages.workloads,
    "/workloads/causes": pages.causes,
    "/workloads/training": pages.training,
    "/workloads/tuning": pages.tuning,
    "/workloads/{id}": pages.workload,
}
_ACTIONS: dict[str, tuple[TokenScope, Action]] = {
    "/tasks/submit": ("submit", actions.submit),
    "/tasks/{id}/cancel": ("submit", actions.cancel),
    "/tasks/{id}/retry": ("submit", actions.retry),
    "/tasks/{id}/feedback": ("feedback", actions.feedback),
    "/learning/undo": ("approve", actions.undo),
    "/learning/pause": ("admin", actions.pause),
    "/learning/resume": ("admin", actions.resume),
    "/inbox/approve": ("approve", actions.approve),
    "/inbox/deny": ("approve", actions.deny),
    "/inbox/answer": ("approve", actions.answer),
}
