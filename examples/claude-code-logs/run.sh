#!/usr/bin/env bash
# What another agent's sessions teach: which commands fail in this repository, and what worked instead.
# Your own are in ~/.claude/projects; nothing leaves the machine. No model is asked.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(mktemp -d)"
export HAL9_HOME="$folder/home"
trap 'rm -rf "$folder"' EXIT
hal9 init "$HAL9_HOME"
hal9 learn "${1:-$here/session.jsonl}"
hal9 learn --quiet --json "${1:-$here/session.jsonl}"    # a second time: all of it is known
