#!/usr/bin/env bash
# Which factors make tasks fail. A cluster does thirty tasks, half of them with a check that cannot pass.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(mktemp -d)"
export HAL9_HOME="$folder/home"
trap 'hal9 stop --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
hal9 init "$HAL9_HOME"
hal9 up --detach
cd "$folder"
python "$here/give_tasks.py" "$HAL9_HOME"
hal9 causes --svg causes.svg
test -s causes.svg
