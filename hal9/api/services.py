"""What handlers work with: the home's client, events, tokens, limits."""

import asyncio
import hmac
import ipaddress
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request

from hal9.api.hub import EventHub
from hal9.api.limits import RateLimiter
from hal9.api.tokens import Token, TokenStore
from hal9.api.uploads import Uploads
from hal9.clock import Clock, SystemClock
from hal9.cluster.client import Cluster
from hal9.cluster.home import Home
from hal9.errors.api import WorkspaceRefused
from hal9.errors.memory import MemoryClosed
from hal9.memory import MemoryStore

__all__ = ["COOKIE", "Services"]

COOKIE = "hal9_session"


class Services:
    """Opened once per server; use it with `async with`.

    Args:
        home: the cluster's home.
        clock: time.
    """

    def __init__(self, home: Home, *, clock: Clock | None = None) -> None:
        self.home = home
        self.clock = clock or SystemClock()
        self.settings = home.settings().api
        self.tokens = TokenStore(home.state / "api.db", clock=self.clock)
        self.cluster = Cluster(home, clock=self.clock)
        self.hub = EventHub(home, max_listeners=self.settings.max_streams)
        self.uploads = Uploads(
            home.root / "uploads", limit=self.settings.max_upload_mb * 1024 * 1024, clock=self.clock
        )
        self.nobody = Token(id="", name="", scopes=(), created_at=0.0)
        self._rates = RateLimiter(self.settings.requests_per_minute, clock=self.clock)
        self._strangers = RateLimiter(max(30.0, self.settings.requests_per_minute / 100), clock=self.clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.home.make_state()
            await stack.enter_async_context(self.cluster)
            stack.enter_context(self.tokens)
            # Opened (made, or migrated) once: opening it for each request costs more than most of them read.
            self.cluster.memory = await asyncio.to_thread(
                stack.enter_context, MemoryStore(self.home.memory, clock=self.clock)
            )
            await stack.enter_async_context(self.hub)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    def token_of(self, request: Request) -> Token | None:
        """The valid token a request carries, in a header or as a browser's session.

        Raises:
            RateExceeded: this client asks too often.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else ""
        if not given and _same_origin(request):
            given = request.cookies.get(COOKIE, "")
        token = self.tokens.check(given) if given else None
        if token is None:
            self.slow_strangers(request)
        else:
            self._rates.take(token.id)
        return token

    def slow_strangers(self, request: Request) -> None:
        """Count a request that carries no token.

        Raises:
            RateExceeded: this address asks too often.
        """
        self._strangers.take(request.client.host if request.client else "")

    def workspace_of(self, given: str | None, *, token: Token) -> Path | None:
        """The directory a task may use for what its client named.

        Raises:
            WorkspaceRefused: outside of what the settings allow.
            UploadUnknown: no such upload of this token's.
        """
        if given is None:
            return None
        if given.startswith("upload:"):
            return self.uploads.folder(given.removeprefix("upload:"), owner=token.id)
        if "\0" in given:
            raise WorkspaceRefused(path=given)
        path = Path(given).expanduser()
        if path.is_absolute():
            wanted = path.resolve()
            for one in self.settings.workspaces:
                if wanted.is_relative_to(Path(one).expanduser().resolve()):
                    return wanted
        raise WorkspaceRefused(path=given)

    def check_reuse(self, workspace: str | None, *, token: Token) -> None:
        """Whether a client may let a new task work where an earlier one did, whoever gave that one.

        Raises:
            WorkspaceRefused: another client's upload, or outside of what the settings allow.
        """
        if workspace is None:
            return
        owner = self.uploads.owner_of(Path(workspace))
        if owner is None:
            self.workspace_of(workspace, token=token)
        elif owner != token.id and not token.allows("admin"):
            raise WorkspaceRefused(path=workspace)

    @property
    def memory(self) -> MemoryStore:
        """The memory file, open as long as the server runs."""
        if self.cluster.memory is None:
            raise MemoryClosed(path=str(self.home.memory))
        return self.cluster.memory

    async def status(self) -> dict[str, Any]:
        """What the cluster says of itself."""
        return await self.cluster.status()


def _same_origin(request: Request) -> bool:
    """Whether a cookie may speak for its owner: never for what another site's page sends."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        # "none" is a person's own doing: an address typed in, a bookmark.
        return site == "same-origin" or (site == "none" and request.method in ("GET", "HEAD"))
    origin = request.headers.get("origin")
    if origin is None:
        return request.method in ("GET", "HEAD")
    return hmac.compare_digest(origin, f"{request.url.scheme}://{request.headers.get('host', '')}")


def reachable_from_outside(host: str) -> bool:
    """Whether other machines can reach a server that listens there."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
