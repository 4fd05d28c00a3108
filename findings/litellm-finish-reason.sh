#!/usr/bin/env bash
# litellm 1.84.0 reports an answer that the server aborted as one that ended by itself, and makes up token counts.
#
# Expected: a finish reason that litellm does not know is handed on, or becomes an error; usage that a stream did not send is absent.
# Seen:     "abort" and "repetition" (what vLLM and SGLang send for an answer that was cut) arrive as "stop"; a streamed answer
#           without usage gets counts of litellm's own that nothing marks as estimates.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.84.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import sys
import threading
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
reason = "stop"


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        base = {"id": "1", "created": 1, "model": "m"}
        if asked.get("stream"):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for delta, end in (({"role": "assistant", "content": "hello "}, None), ({"content": "world"}, None), ({}, reason)):
                chunk = {**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": "hello wor"}
        body = json.dumps({**base, "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()

import litellm

asked = {
    "model": "openai/m",
    "api_base": f"http://127.0.0.1:{server.server_port}/v1",
    "api_key": "none",
    "messages": [{"role": "user", "content": "say hello"}],
}
print("litellm", version("litellm"))
seen = {}
for reason in ("length", "abort", "repetition"):
    seen[reason] = litellm.completion(**asked).choices[0].finish_reason
    print(f"the server says {reason!r}; litellm says {seen[reason]!r}")
reason = "stop"
chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
counts = [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)]
print("usage of a stream whose server sent none:", counts)
sys.exit(0 if seen == {"length": "length", "abort": "stop", "repetition": "stop"} and counts and counts[0] > 0 else 1)
PY
"$folder/venv/bin/python" "$folder/try.py"
