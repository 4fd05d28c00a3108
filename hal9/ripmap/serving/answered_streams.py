"""Standard input and output of the MCP server: what was asked before the input ended is still answered.

The library (mcp 2.3) cancels the requests under way as soon as its input ends, so that
`printf … | ripmap serve` would print nothing. Its streams are therefore relayed, and their end is passed on
when no request is open any more.
"""

from typing import Any

import anyio
from mcp.server.stdio import stdio_server

__all__ = ["run_until_answered"]


class _Open:
    """Requests that were passed on and have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[object] = set()
        self._changed = anyio.Event()

    def asked(self, message: Any) -> None:
        """Note a message on its way in; one that cancels a request means that no answer will come."""
        if hasattr(message, "id") and hasattr(message, "method"):
            self._ids.add(message.id)
        elif getattr(message, "method", "") == "notifications/cancelled":
            self._close((message.params or {}).get("requestId"))

    def answered(self, message: Any) -> None:
        """Note a message on its way out."""
        if hasattr(message, "id") and not hasattr(message, "method"):
            self._close(message.id)

    def _close(self, identity: object) -> None:
        self._ids.discard(identity)
        self._changed.set()
        self._changed = anyio.Event()

    async def none_left(self) -> None:
        while self._ids:
            await self._changed.wait()


async def run_until_answered(server: Any) -> None:
    """Run an MCPServer on standard input and output until the input has ended and everything is answered."""
    inner = server._lowlevel_server  # noqa: SLF001 - as the library's own run_stdio_async does; there is no public way
    still_open = _Open()
    to_server, server_reads = anyio.create_memory_object_stream[Any]()
    server_writes, from_server = anyio.create_memory_object_stream[Any]()

    async def inward(read: Any) -> None:
        async with to_server:
            async for item in read:
                still_open.asked(getattr(item, "message", None))
                await to_server.send(item)
            await still_open.none_left()

    async def outward(write: Any) -> None:
        async with from_server, write:
            async for item in from_server:
                await write.send(item)
                still_open.answered(item.message)

    async with stdio_server() as (read, write), anyio.create_task_group() as group:
        group.start_soon(inward, read, name="mcp-inward")
        group.start_soon(outward, write, name="mcp-outward")
        await inner.run(server_reads, server_writes, inner.create_initialization_options())
        await server_writes.aclose()
