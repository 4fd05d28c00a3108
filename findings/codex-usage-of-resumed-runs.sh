#!/usr/bin/env bash
# Codex 0.171.0: `codex exec resume --json` counts the tokens of all earlier runs again.
#
# Expected: the usage in a run's "turn.completed" is what that turn used, so the runs of a conversation can be added up.
# Seen:     it is the whole conversation's total so far: three runs of one request each, 1200 tokens read and 50 written every time, say 1200,
#           2400 and 3600. Whoever adds up runs, or charges each by its event, counts the first run three times. The session file has
#           both figures (total_token_usage, last_token_usage); the events have only the total, under the plain name "usage".
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" @openai/codex@0.171.0 >/dev/null 2>&1
cat > "$folder/try.py" <<'PY'
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

folder = Path(sys.argv[1])
program = str(folder / "node_modules/.bin/codex")
requests = []


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each request with one message; 1200 tokens read, 50 written."""

    def log_message(self, *_):
        pass

    def answer(self, text, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer('{"data": [], "models": []}', "application/json")

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        requests.append(self.path)
        number = len(requests)
        text = {"type": "output_text", "text": f"answer {number}", "annotations": []}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [text]}
        usage = {
            "input_tokens": 1200, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1250,
        }
        response = {"id": f"resp_{number}", "object": "response", "status": "completed", "output": [item], "usage": usage}
        events = [
            {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]
        self.answer("".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events), "text/event-stream")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = folder / "home"
(home / ".codex").mkdir(parents=True)
(home / ".codex/config.toml").write_text(
    'model = "example"\nmodel_provider = "here"\n[model_providers.here]\nname = "here"\nwire_api = "responses"\n'
    f'env_key = "EXAMPLE_KEY"\nbase_url = "http://127.0.0.1:{server.server_address[1]}/v1"\n'
)
environment = {"PATH": os.environ["PATH"], "HOME": str(home), "EXAMPLE_KEY": "example"}
print(subprocess.run([program, "--version"], env=environment, capture_output=True, text=True).stdout.strip())
told = []
for number in (1, 2, 3):
    earlier = [] if number == 1 else ["resume", "--last"]
    before = len(requests)
    command = [program, "exec", *earlier, "--json", "--skip-git-repo-check", f"question {number}"]
    run = subprocess.run(command, cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    events = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    (usage,) = (one["usage"] for one in events if one["type"] == "turn.completed")
    told.append((usage["input_tokens"], usage["output_tokens"]))
    print(f"run {number}: {len(requests) - before} request, its usage says input {told[-1][0]}, output {told[-1][1]}")
print("added up:", sum(one for one, _ in told), "read; the server counted", 1200 * len(requests))
sys.exit(0 if len(requests) == 3 and told == [(1200, 50), (2400, 100), (3600, 150)] else 1)
PY
python3 "$folder/try.py" "$folder"
