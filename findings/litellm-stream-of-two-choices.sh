#!/usr/bin/env bash
# litellm 1.110.2: where two answers are streamed at once (n=2), a cut answer is told as whole and the whole one as cut.
#
# Expected: each choice ends with its own finish reason, as the server sends it and as the OpenAI client that litellm stands on hands it on.
# Seen:     one finish reason comes for all, always under index 0: that of the choice which ends first. Here choice 1 is cut ("length") while
#           choice 0 still writes: choice 0 is told as cut half way, its text goes on afterwards (lost on whoever stops reading there), and
#           choice 1 never ends. stream_chunk_builder puts both texts together and says "length" of the whole one, "stop" of the cut one.
#           Best-of-n and voting over streams choose by these reasons. Without streaming both are right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check litellm==1.110.2 2>/dev/null
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import sys
import threading
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no look-up of prices over the network
import litellm
import openai

litellm.suppress_debug_info = True
SENT = [  # index, text, finish reason
    (0, "One, two, ", None),
    (1, "Un, deux, tr", None),
    (1, "", "length"),
    (0, "three.", None),
    (0, "", "stop"),
]


class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for index, text, reason in SENT:
            choice = {"index": index, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = f"http://127.0.0.1:{server.server_port}/v1"
question = {"messages": [{"role": "user", "content": "Count to three."}], "n": 2, "stream": True}


def read(chunks):
    """What was told, in order: index, text, finish reason."""
    told = [(one.index, one.delta.content or "", one.finish_reason) for chunk in chunks for one in chunk.choices]
    return [one for one in told if one[1] or one[2]]


print("litellm", version("litellm"), "openai", version("openai"))
with openai.OpenAI(base_url=place, api_key="none") as client:
    right = read(client.chat.completions.create(model="m", **question))
chunks = list(litellm.completion(model="openai/m", api_base=place, api_key="none", **question))
seen = read(chunks)
built = {one.index: (one.message.content, one.finish_reason) for one in litellm.stream_chunk_builder(chunks).choices}
print("sent, and told by openai:", right)
print("told by litellm:         ", seen)
print("put together by litellm: ", built)
expected = {0: ("One, two, three.", "stop"), 1: ("Un, deux, tr", "length")}
print("expected:                ", expected)
swapped = built == {0: ("One, two, three.", "length"), 1: ("Un, deux, tr", "stop")}
sys.exit(0 if right == SENT and (0, "", "length") in seen and swapped else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
