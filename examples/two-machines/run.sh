#!/usr/bin/env bash
# A server and a client. Here both are on this machine; on two, give the server api.host, api.port and TLS
# (docs/api.md), and `hal9 login https://HOST:PORT` to the client.
set -euo pipefail
folder="$(mktemp -d)"
server=(hal9 --home "$folder/server")
trap '"${server[@]}" stop --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

# The server: a home of its own, and a token that may submit and read, no more.
hal9 init "$folder/server"
"${server[@]}" up --detach
token="$("${server[@]}" token create laptop --scope read --scope submit --json | python -c 'import json, sys; print(json.load(sys.stdin)["token"])')"
url="$("${server[@]}" dashboard --print | sed 's|/login.*||')"

# The client knows an address and a token. Its workspace is packed, brought along, and worked on over there.
export HAL9_URL="$url" HAL9_TOKEN="$token"
mkdir "$folder/project" && cd "$folder/project"
printf 'from adder import add\nassert add(2, 3) == 5\n' > check.py
hal9 submit --wait --workspace . --check "python check.py" "Write add(a, b) in adder.py"
hal9 result last
hal9 tasks
