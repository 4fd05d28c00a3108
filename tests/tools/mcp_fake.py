"""An MCP server for the tests: `python -m tests.tools.mcp_fake [PORT]`; stdio, or streamable HTTP on loopback."""

import asyncio
import os
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server = MCPServer("fake")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def variable(name: str) -> str:
    """Say what an environment variable holds."""
    return os.environ.get(name, "(not set)")


@server.tool()
async def traced(context: Context) -> str:
    """Say which trace the call belongs to."""
    meta = context.request_context.meta
    return str((meta or {}).get("traceparent"))


@server.tool()
def fails() -> str:
    """Raise an error."""
    raise ToolError("the moon is in the way")


@server.tool()
def dies() -> str:
    """End the whole server."""
    os._exit(3)


@server.tool()
async def sleeps() -> str:
    """Take long."""
    await asyncio.sleep(60)
    return "late"


@server.tool(name="odd.name with blanks and much more than sixty-four characters in it, really")
def odd() -> str:
    """Have a name that no provider takes."""
    return "odd"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
