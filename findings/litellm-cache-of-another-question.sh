#!/usr/bin/env bash
# litellm 1.110.2: its cache answers a request with the answer to another one, of another server or for another schema.
#
# Expected: what changes the request that is sent is part of the cache's key, as temperature, tools and a JSON schema are.
# Seen:     api_base, extra_body and parameters that litellm hands on unknown (min_p, guided_json) are not: the second server, sampling or
#           grammar gets the first one's answer, and no request is made. A pydantic class as response_format is known by its name alone:
#           after a field is added the old answer comes back, in a cache on disk or in Redis also days later, and does not validate.
#           (litellm.enable_caching_on_provider_specific_optional_params, off as shipped, cures extra_body and min_p only.)
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# Without the last three every hit ends in ModuleNotFoundError; they come with the extra "proxy".
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  litellm==1.110.2 fastapi==0.165.0 orjson==3.13.0 soundfile==0.14.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import sys
import threading
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no look-up of prices over the network
import litellm
import pydantic
from litellm.caching.caching import Cache

litellm.suppress_debug_info = True
requests = []


class Server(http.server.BaseHTTPRequestHandler):
    """Numbers the answers it gives."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        requests.append(self.server.server_port)
        message = {"role": "assistant", "content": f"answer {len(requests)}"}
        body = json.dumps({
            "id": "1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def answer_class(**fields):
    """The class `Answer` as it is before or after it is edited."""
    return pydantic.create_model("Answer", **{name: (kind, ...) for name, kind in fields.items()})


def schema(name):
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


def as_format(name):
    return {"type": "json_schema", "json_schema": {"name": "Answer", "schema": schema(name)}}


one, other = serve(), serve()
pairs = {
    "temperature": ({"temperature": 0.1}, {"temperature": 0.9}),
    "a JSON schema": ({"response_format": as_format("a")}, {"response_format": as_format("b")}),
    "the server (api_base)": ({}, {"api_base": other}),
    "min_p": ({"min_p": 0.05}, {"min_p": 0.9}),
    "extra_body": ({"extra_body": {"guided_json": schema("a")}}, {"extra_body": {"guided_json": schema("b")}}),
    "fields of a pydantic class": ({"response_format": answer_class(a=str)}, {"response_format": answer_class(a=str, b=int)}),
}
print("litellm", version("litellm"))
litellm.cache = Cache(type="local")
shared = set()
for number, (name, two) in enumerate(pairs.items()):
    before = len(requests)
    for options in two:
        litellm.completion(**{
            "model": "openai/m", "api_base": one, "api_key": "none", "caching": True,
            "messages": [{"role": "user", "content": f"question {number}"}], **options,
        })
    asked = len(requests) - before
    if asked == 1:
        shared.add(name)
    print(f"seen: two requests that differ in {name}: {asked} of 2 sent" + ("; the second got the first one's answer" if asked == 1 else ""))
if shared != {"the server (api_base)", "min_p", "extra_body", "fields of a pydantic class"}:
    sys.exit("this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
