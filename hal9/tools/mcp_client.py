"""Tools of MCP servers: started with the node, offered to the neurons that may have them, ended with it.

Each server has a task of its own that keeps the connection, because the library's connection belongs to the
task that opened it. A server that is gone is an error of the tool, in words the model can act on; the next
call starts it anew. Servers run outside of the sandbox and on the real files: what they may do is decided by
whoever writes their name into the settings.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from hal9.errors.tools import McpMissing
from hal9.minds.protocol import ToolSpec
from hal9.minds.schema import problems
from hal9.settings import McpServerSettings
from hal9.signals.tracing import CURRENT_TRACEPARENT
from hal9.text import first_line, without_surrogates
from hal9.tools.action import tool_action
from hal9.tools.mcp_results import shown_result
from hal9.tools.observation import Observation
from hal9.tools.schema import Tool

if TYPE_CHECKING:
    from mcp.client.client import Client
    from mcp_types import Tool as ServerTool

__all__ = ["McpServers", "tool_name"]

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_SECONDS = 60.0
_MOST_PAGES = 50
_MOST_DESCRIPTION = 4000
_NAME_SIZE = 64
"""Providers take tool names of at most so many characters, of letters, digits, ``_`` and ``-``."""


def tool_name(server: str, tool: str) -> str:
    """The name a model calls a server's tool by: ``server__tool``, shortened with a hash if need be."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}__{tool}")
    if len(plain) <= _NAME_SIZE and plain == f"{server}__{tool}":
        return plain
    mark = hashlib.sha256(f"{server}.{tool}".encode()).hexdigest()[:8]
    return f"{plain[: _NAME_SIZE - 9]}_{mark}"


@dataclass(slots=True)
class _Server:
    """One server: its settings, its connection while it lives, and what it offers."""

    name: str
    settings: McpServerSettings
    client: "Client | None" = None
    tools: tuple["ServerTool", ...] = ()
    problem: str = "it has not been started yet"
    failures: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """The state is another one; whoever waits looks at it."""
        self.changed.set()


class McpServers:
    """All servers of the settings. Open it with `async with`; it waits until each was tried once."""

    def __init__(self, settings: Mapping[str, McpServerSettings]) -> None:
        self._servers = {name: _Server(name, one) for name, one in settings.items()}
        self._stop = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._log_sink: TextIO | None = None

    async def __aenter__(self) -> Self:
        """Start the servers.

        Raises:
            McpMissing: there are servers in the settings and the library is not installed.
        """
        if self._servers:
            try:
                import mcp  # noqa: F401, PLC0415 - an extra, and slow to load
            except ImportError as error:
                raise McpMissing(servers=tuple(self._servers)) from error
            # What servers print for people would end up between our own lines.
            self._log_sink = await asyncio.to_thread(open, os.devnull, "w", encoding="utf-8")
        await self._tasks.__aenter__()
        for server in self._servers.values():
            self._tasks.create_task(self._keep(server), name=f"mcp-{server.name}")
        await asyncio.gather(*(self._revive(server) for server in self._servers.values()))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for server in self._servers.values():
            server.broken.set()
            server.wanted.set()
        try:
            # What the body raised goes on as it is, not as a group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            if self._log_sink is not None:
                self._log_sink.close()

    def problems(self) -> dict[str, str]:
        """What is wrong with each server that does not run; for status and doctor."""
        return {server.name: server.problem for server in self._servers.values() if server.client is None}

    def for_neuron(self, neuron: str) -> tuple[Tool, ...]:
        """The tools a neuron may call, also those of a server that has died since it told them."""
        return tuple(
            self._tool(server, tool)
            for server in self._servers.values()
            if _listed(neuron, server.settings.neurons)
            for tool in server.tools
            if _listed(tool.name, server.settings.tools)
        )

    def _tool(self, server: _Server, tool: "ServerTool") -> Tool:
        async def run(**arguments: Any) -> Observation:
            return await self.call(server.name, tool.name, arguments)

        only_reads = bool(tool.annotations and tool.annotations.read_only_hint)
        full_name = f"{server.name}.{tool.name}"
        described = without_surrogates(tool.description or "").strip()[:_MOST_DESCRIPTION]
        spec = ToolSpec(tool_name(server.name, tool.name), described or full_name, _usable(tool.input_schema))
        return Tool(
            spec=spec,
            run=run,
            describe=lambda arguments: tool_action(full_name, arguments),
            permission="read" if only_reads else "run",
            changes=False,
        )

    async def call(self, server_name: str, tool: str, arguments: Mapping[str, Any]) -> Observation:
        """Call a tool; whatever goes wrong is an observation."""
        server = self._servers[server_name]
        if server.client is None:
            await self._revive(server)
        client = server.client
        if client is None:
            return _failed(
                f"The server {server.name} cannot be reached: {server.problem}. Go on without {tool}."
            )
        seconds = server.settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                result = await client.call_tool(tool, dict(arguments), meta=_trace_context())
        except TimeoutError:
            return _failed(f"{server.name}.{tool} gave no answer within {seconds:g} s.")
        except Exception as error:  # noqa: BLE001 - a library and a server stand behind this call
            told = first_line(str(error)) or type(error).__name__
            if await self._is_dead(client):
                server.problem = told
                server.client = None
                server.broken.set()
                return _failed(f"The server {server.name} ended during the call: {told}.")
            return _failed(f"{server.name}.{tool} refused the call: {told}")
        return shown_result(result)

    async def _is_dead(self, client: "Client") -> bool:
        """Whether the connection is gone, as opposed to a call that was refused."""
        try:
            async with asyncio.timeout(5):
                await client.list_tools(cache_mode="bypass")
        except Exception:  # noqa: BLE001 - see above
            return True
        return False

    async def _revive(self, server: _Server) -> None:
        """Ask for a new connection, and wait until there is one or the attempt has failed."""
        before = server.failures
        server.wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(server.settings.start_seconds):
                while server.client is None and server.failures == before:
                    server.changed.clear()
                    await server.changed.wait()

    async def _keep(self, server: _Server) -> None:
        """Keep one server's connection, and open it anew when it broke, with growing waits."""
        wait = 1.0
        while not self._stop.is_set():
            server.broken.clear()
            server.wanted.clear()
            connected = False
            try:
                async with asyncio.timeout(server.settings.start_seconds) as limit:
                    async with self._connected(server) as client:
                        server.tools = await _all_tools(client)
                        limit.reschedule(None)
                        connected, wait = True, 1.0
                        server.client, server.problem = client, ""
                        server.tell()
                        _LOG.info("MCP server %s offers %d tools", server.name, len(server.tools))
                        await server.broken.wait()
                        server.client = None
            except Exception as error:  # noqa: BLE001 - whatever a server does must not end the node
                server.client = None
                server.problem = _told(error)
                server.failures += not connected
                _LOG.warning("MCP server %s: %s", server.name, server.problem)
            server.tell()
            if self._stop.is_set():
                return
            # A call asks for it at once; otherwise it is tried again after a while.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await server.wanted.wait()
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    @contextlib.asynccontextmanager
    async def _connected(self, server: _Server) -> Any:
        from mcp.client.client import Client  # noqa: PLC0415 - an extra, and slow to load

        settings = server.settings
        async with contextlib.AsyncExitStack() as stack:
            if settings.command is not None:
                from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415

                parameters = StdioServerParameters(
                    command=settings.command,
                    args=settings.args,
                    env=settings.env,
                    cwd=settings.folder,
                    encoding_error_handler="replace",
                )
                transport: Any = stdio_client(parameters, errlog=self._log_sink or sys.stderr)
            else:
                import httpx2  # noqa: PLC0415 - the library's own HTTP client
                from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

                timeout = httpx2.Timeout(settings.timeout_seconds, read=None)
                http = httpx2.AsyncClient(headers=settings.headers, timeout=timeout)
                await stack.enter_async_context(http)
                transport = streamable_http_client(settings.url or "", http_client=http)
            yield await stack.enter_async_context(Client(transport, cache=None))


async def _all_tools(client: "Client") -> tuple["ServerTool", ...]:
    """Every page of a server's tools; of two with one name the first."""
    found: dict[str, ServerTool] = {}
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            found.setdefault(tool.name, tool)
        cursor = page.next_cursor
        if not cursor:
            break
    return tuple(found.values())


def _listed(name: str, names: list[str]) -> bool:
    return "*" in names or name in names


def _usable(schema: Any) -> dict[str, Any]:
    """A tool's schema if it can be checked here; one with foreign references or patterns takes any object."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return {"type": "object"}
    try:
        problems({}, schema)
    except Exception:  # noqa: BLE001 - the checker stumbles over a schema in many ways
        return {"type": "object", "description": "as the tool's description says"}
    # Which draft it is written in is of no interest to providers, and some refuse to be told.
    return {key: value for key, value in schema.items() if key != "$schema"}


def _told(error: BaseException) -> str:
    """The innermost message: the library raises groups of groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return first_line(str(error)) or type(error).__name__


def _trace_context() -> Any:
    """The W3C trace context of the turn, as MCP carries it along with a request; None outside of turns."""
    traceparent = CURRENT_TRACEPARENT.get()
    return {"traceparent": traceparent} if traceparent else None


def _failed(text: str) -> Observation:
    return Observation(text=without_surrogates(text), ok=False, summary="failed")
