#!/usr/bin/env bash
# The MCP Python SDK 2.3.0 does not let an optional text argument be a text that happens to be JSON.
#
# Expected: a tool with `text: str | None` publishes the schema "string or null"; a string sent for it arrives as that string.
# Seen:     unless the annotation is exactly `str`, strings are parsed as JSON first. '{"a": 1}' and '[1, 2]' are refused ("should be a
#           valid string"), 'null' arrives as None without a word; with `text: str` the same three arrive as they are. So a tool that
#           writes files, remembers notes or takes a query cannot be given a JSON document once its text argument is made optional.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import asyncio
import logging
import sys
from importlib.metadata import version

from mcp.client import Client
from mcp.server.mcpserver import MCPServer

logging.disable(logging.CRITICAL)
server = MCPServer("example")
got = []


@server.tool()
def required(text: str) -> str:
    """Takes a text."""
    got.append(text)
    return "taken"


@server.tool()
def optional(text: str | None = None) -> str:
    """Takes a text or nothing."""
    got.append(text)
    return "taken"


async def main():
    print("mcp", version("mcp"))
    seen = {}
    async with Client(server) as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name:8} publishes", tool.input_schema["properties"]["text"])
        for name in ("required", "optional"):
            for text in ('{"a": 1}', "[1, 2]", "null", "7", "plain"):
                got.clear()
                answer = await client.call_tool(name, {"text": text})
                seen[name, text] = got[0] if got else "refused"
                told = answer.content[0].text.splitlines()
                why = "" if not answer.is_error else f"  ({told[2].strip().split(' [')[0]})"
                print(f"{name:8} {text!r:12} -> {seen[name, text]!r}{why}")
    as_sent = all(seen["required", text] == text for name, text in seen if name == "required")
    lost = seen["optional", '{"a": 1}'] == seen["optional", "[1, 2]"] == "refused" and seen["optional", "null"] is None
    sys.exit(0 if as_sent and lost and seen["optional", "plain"] == "plain" else 1)


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
