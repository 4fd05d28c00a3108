#!/usr/bin/env bash
# litellm 1.110.2 breaks a streamed answer off when a hundred chunks in a row are equal, as if the provider had failed.
#
# Expected: what the server streams arrives: an array of 150 zeros, a long rule of a table, deep indentation; length is max_tokens' business.
# Seen:     from the hundredth equal chunk of more than two characters on the stream ends in an error of the server's side (status 5xx, "repeating the same chunk"),
#           the kind that callers retry: each try is paid for and ends the same way. One character fewer a chunk, or the same
#           answer without streaming, comes through whole.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2 2>/dev/null
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import sys
import threading
import warnings
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
warnings.filterwarnings("ignore")
import litellm

litellm.suppress_debug_info = True


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with the pieces that the prompt names, streamed or whole."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        pieces = json.loads(body["messages"][0]["content"])
        common = {"id": "x", "created": 1, "model": "m"}
        if body.get("stream"):
            chunks = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
            chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            events = [{**common, "object": "chat.completion.chunk", "choices": [one]} for one in chunks]
            text = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"
        else:
            message = {"index": 0, "message": {"role": "assistant", "content": "".join(pieces)}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            text = json.dumps({**common, "object": "chat.completion", "choices": [message], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()


def asked(piece, count, stream):
    """How much of the answer arrives, and what ended it."""
    got, ended = 0, "whole"
    try:
        answer = litellm.completion(
            model="openai/m", api_base=f"http://127.0.0.1:{server.server_address[1]}/v1", api_key="example",
            messages=[{"role": "user", "content": json.dumps([piece] * count)}], stream=stream, max_retries=0,
        )
        if stream:
            for chunk in answer:
                got += len(chunk.choices[0].delta.content or "")
        else:
            got = len(answer.choices[0].message.content)
    except Exception as error:
        ended = f"{type(error).__name__}, status {error.status_code}"
    return f"{got} of {len(piece) * count} characters, {ended}"


print("litellm", version("litellm"))
seen = {}
for piece, count, stream in ((" 0,", 99, True), (" 0,", 150, True), ("0,", 150, True), (" 0,", 150, False)):
    seen[piece, count, stream] = asked(piece, count, stream)
    print(f"{count} chunks of {piece!r:6} {'streamed' if stream else 'whole   '}: {seen[piece, count, stream]}")
broken = [key for key, told in seen.items() if not told.endswith("whole")]
sys.exit(0 if broken == [(" 0,", 150, True)] and ", status 5" in seen[broken[0]] else 1)
PY
"$folder/venv/bin/python" "$folder/try.py"
