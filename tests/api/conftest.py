"""A cluster with its API, and a client that knows a token."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from hal9.api.server import ApiServer
from hal9.api.tokens import SCOPES, TokenScope
from hal9.cluster import Cluster, Daemon, Home
from tests.conftest import Script, running_cluster


@dataclass
class Served:
    """A running cluster with its server; `http` carries a token of all scopes but admin."""

    home: Home
    daemon: Daemon
    cluster: Cluster
    server: ApiServer
    http: httpx.AsyncClient

    def token(self, *scopes: TokenScope, name: str = "") -> str:
        return self.server.services.tokens.create(name or "-".join(scopes), scopes)[1]

    def client(self, token: str = "") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.server.url, headers=headers, timeout=60.0)


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        daemon, cluster = await stack.enter_async_context(running_cluster(home))
        server = await stack.enter_async_context(ApiServer(home))
        scopes = tuple(one for one in SCOPES if one != "admin")
        found = [one.name for one in server.services.tokens.all()]
        name = f"client{len(found)}"
        token = server.services.tokens.create(name, scopes)[1]
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0)
        )
        yield Served(home, daemon, cluster, server, http)


@pytest.fixture
async def served(home: Home, script: Script) -> AsyncIterator[Served]:
    script("adder")
    async with serving(home) as one:
        yield one
