"""A model on this machine: a llama.cpp server in a child process, spoken to over loopback HTTP.

The child keeps a crash, a memory shortage or a long computation away from the cluster. Minds of one process
that want the same model with the same settings share one server; the last one to close stops it.
"""

import asyncio
import importlib.util
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from hal9.errors.minds import MindClosed, MindUnreachable, RuntimeMissing
from hal9.minds.chat.client import ChatClient
from hal9.minds.chat.endpoint import Endpoint
from hal9.minds.local.models import default_model, installed
from hal9.minds.local.server_handle import (
    Address,
    LocalServer,
    LocalSettings,
    acquire,
    release,
    running_servers,
)
from hal9.minds.prices import Price, Quote
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request
from hal9.minds.schema import constrainable
from hal9.minds.tool_wire import wire_messages

__all__ = ["LocalMind", "LocalSettings", "running_servers"]


class LocalMind:
    """A GGUF model served by llama.cpp; the server starts with the first request."""

    def __init__(self, settings: LocalSettings | None = None) -> None:
        self._settings = settings if settings is not None else LocalSettings()
        self._model = self._settings.model or default_model()
        self._path: Path | None = None
        self._server: LocalServer | None = None
        self._clients: dict[Address, ChatClient] = {}
        self._exits = AsyncExitStack()
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"local:{self._model}"

    @property
    def capabilities(self) -> Capabilities:
        # llama.cpp reads a small model's calls out of its free text; decoding constrained to the tools'
        # schemas cannot miss.
        return Capabilities(tools="constrained", announces=True)

    @property
    def server_pid(self) -> int | None:
        """Process id of the model's server while it runs."""
        return self._server.pid if self._server is not None else None

    async def __aenter__(self) -> Self:
        """Check that model and runtime are there.

        Raises:
            ModelMissing: the file is not on this machine.
            RuntimeMissing: xllamacpp is not installed.
        """
        if importlib.util.find_spec("xllamacpp") is None:
            raise RuntimeMissing(mind=self.name, library="xllamacpp", extra="local")
        self._path = installed(self._model)
        self._server = acquire(self.name, self._path, self._settings)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, path, self._server = self._server, self._path, None
        try:
            await self._exits.aclose()
        finally:
            self._clients.clear()
            if server is not None and path is not None:
                await asyncio.to_thread(release, path, self._settings, server)

    async def warm(self) -> None:
        """Load the model now instead of with the first request."""
        await self._client()

    async def quote(self, request: Request) -> Quote:
        """The exact prompt tokens plus `max_tokens`; a local model costs no money."""
        client, root = await self._client(), self._root
        turns = wire_messages(request.messages, self.name)
        prompt = await client.post(f"{root}/apply-template", {"messages": turns}, request.timeout_seconds)
        tokens = await client.post(
            f"{root}/tokenize",
            {"content": prompt["prompt"], "add_special": True, "parse_special": True},
            request.timeout_seconds,
        )
        return Quote(tokens=len(tokens["tokens"]) + request.max_tokens, usd=0.0)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Answer with one sample; a dead server is started anew by the next call.

        Raises:
            MindError: a typed subclass.
        """
        if self._server is None:
            raise MindClosed(mind=self.name)
        server, client = self._server, await self._client()
        try:
            return await client.ask(request, on_token)
        except MindUnreachable as error:
            detail = await asyncio.to_thread(server.wait_for_death)
            raise MindUnreachable(
                mind=self.name, detail=f"{error.detail}; {detail}", remedy="The next call starts it anew."
            ) from error

    @property
    def _root(self) -> str:
        address = self._server.running() if self._server is not None else None
        if address is None:
            raise MindUnreachable(mind=self.name, detail="its server is not running")
        return address.url

    async def _client(self) -> ChatClient:
        if self._server is None:
            raise MindClosed(mind=self.name)
        async with self._connecting:
            address = self._server.running()
            if address is None:
                address = await asyncio.to_thread(self._server.ensure)
            client = self._clients.get(address)
            if client is None:
                endpoint = Endpoint(
                    mind=self.name,
                    base_url=address.url + "/v1",
                    model=self._model,
                    key=address.key,
                    key_variable="(made by HAL9)",
                    price=Price(0.0, 0.0),
                    adapt_schema=constrainable,
                    prompt_cache_field="cache_prompt",
                    grammars=True,
                )
                client = await self._exits.enter_async_context(ChatClient(endpoint))
                self._clients[address] = client
            return client
