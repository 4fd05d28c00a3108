#!/usr/bin/env bash
# Claude Code 2.1.197: the token counts of its assistant lines cannot be added up, and its two logs of one run disagree.
#
# Expected: one "assistant" line a reply of the model, with what that reply used; or, where a reply is spread over several lines, its usage
#           on one of them. The lines of --output-format stream-json and of the session file say the same.
# Seen:     a reply with text and a tool call is two lines with one message id, and each carries the whole reply's usage: sums count the
#           prompt twice. In stream-json, output_tokens is what the server said when the reply began (1 here) and never what it ended
#           with, so sums tell next to nothing written; the session file has the final count, on each of the lines.
#           Only the "result" line, which no session file has, is right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @anthropic-ai/claude-code@2.1.197 >/dev/null 2>&1
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

folder = Path(sys.argv[1])
program = str(folder / "node_modules/.bin/claude")


def events(body):
    """A reply of two blocks, then one of one block; 1000 tokens read and 50 written each."""
    done = any(
        part.get("type") == "tool_result"
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
    )
    call = {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {}}
    blocks = [{"type": "text", "text": ""}] + ([] if done else [call])
    usage = {"input_tokens": 1000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message = {"id": f"msg_{2 if done else 1}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    for index, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if block is call:
            given = {"type": "input_json_delta", "partial_json": json.dumps({"command": "echo hello", "description": "Say hello"})}
        else:
            given = {"type": "text_delta", "text": "All said." if done else "I will say hello."}
        yield {"type": "content_block_delta", "index": index, "delta": given}
        yield {"type": "content_block_stop", "index": index}
    reason = "end_turn" if done else "tool_use"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 50}}
    yield {"type": "message_stop"}


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        streamed = self.path.startswith("/v1/messages") and body.get("stream")
        text = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events(body)) if streamed else "{}"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streamed else "application/json")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = folder / "home"
home.mkdir()
environment = {
    "PATH": os.environ["PATH"], "HOME": str(home), "ANTHROPIC_API_KEY": "example", "IS_SANDBOX": "1",
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
print(subprocess.run([program, "--version"], env=environment, capture_output=True, text=True).stdout.strip())
command = [program, "--print", "say hello", "--output-format", "stream-json", "--verbose", "--allowedTools", "Bash"]
run = subprocess.run(command, cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
(session,) = (home / ".claude/projects").glob("*/*.jsonl")
seen = {}
for name, text in (("stream-json", run.stdout), ("session file", session.read_text())):
    lines = [json.loads(line) for line in text.splitlines()]
    said = [one["message"] for one in lines if one["type"] == "assistant"]
    for one in said:
        print(f"{name:12} {one['id']} {one['content'][0]['type']:8} input {one['usage']['input_tokens']}, output {one['usage']['output_tokens']}")
    seen[name] = [(one["id"], one["usage"]["input_tokens"], one["usage"]["output_tokens"]) for one in said]
    for one in lines:
        if one["type"] == "result":
            seen["result"] = one["usage"]["input_tokens"], one["usage"]["output_tokens"]
            print(f"{name:12} result         input {seen['result'][0]}, output {seen['result'][1]}")
for name in ("stream-json", "session file"):
    print(f"{name:12} added up       input {sum(one[1] for one in seen[name])}, output {sum(one[2] for one in seen[name])}")
same = (
    seen["stream-json"] == [("msg_1", 1000, 1), ("msg_1", 1000, 1), ("msg_2", 1000, 1)]
    and seen["session file"] == [("msg_1", 1000, 50), ("msg_1", 1000, 50), ("msg_2", 1000, 50)]
    and seen["result"] == (2000, 100)
)
sys.exit(0 if same else 1)
PY
python3 "$folder/try.py" "$folder"
