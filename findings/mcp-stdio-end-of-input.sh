#!/usr/bin/env bash
# The MCP Python SDK 2.3.0 gives up calls that are under way when its standard input ends.
#
# Expected: like other filters, `server < requests` answers everything that was asked before the input ended.
# Seen:     the tool is stopped half way, and its caller gets the error -32000 "Connection closed", although the output is
#           still open; the same requests are answered when somebody holds the input open.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0 2>/dev/null
cat > "$folder/server.py" <<'PY'
import asyncio

from mcp.server.mcpserver import MCPServer

server = MCPServer("example")


@server.tool()
async def slow(n: int) -> str:
    """Answers after a moment."""
    await asyncio.sleep(0.5)
    return f"done {n}"


server.run("stdio")
PY
cat > "$folder/try.py" <<'PY'
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

server = [sys.executable, str(Path(sys.argv[1]) / "server.py")]
hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "example", "version": "1"}}
asked = [
    {"id": 1, "method": "initialize", "params": hello},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "slow", "arguments": {"n": 7}}},
]
text = "".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in asked)


def answer_to_2(lines):
    return next((one for one in map(json.loads, lines) if one.get("id") == 2), None)


print("mcp", version("mcp"))
piped = subprocess.run(server, input=text, capture_output=True, text=True, timeout=120)
ended = answer_to_2(piped.stdout.splitlines())
print("input ended:   ", json.dumps((ended or {}).get("error", ended)))
held = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
held.stdin.write(text)
held.stdin.flush()
opened = answer_to_2(held.stdout)
held.stdin.close()
held.wait(60)
print("input held open:", json.dumps(opened["result"]["content"][0]["text"]))
lost = ended is None or "error" in ended
sys.exit(0 if lost and opened["result"]["content"][0]["text"] == "done 7" else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
