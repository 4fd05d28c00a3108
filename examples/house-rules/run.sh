#!/usr/bin/env bash
# A rule in your own words, in a real package: remembered, recalled, shown.
set -euo pipefail
folder="$(mktemp -d)"
export HAL9_HOME="$folder/home"
trap 'hal9 stop --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
hal9 init "$HAL9_HOME"

# A real package to work in: a copy of click, which HAL9 itself uses.
mkdir "$folder/project" && cd "$folder/project" && git init -q
python -c "import click, os, shutil; shutil.copytree(os.path.dirname(click.__file__), 'click')"

hal9 remember "Every new module begins with a docstring that says what it is for."
hal9 rules
hal9 up --detach
hal9 submit --wait --workspace . --check 'python -c "import adder; assert adder.add(2, 3) == 5"' \
  "Write add(a, b) in adder.py"
hal9 why last      # the rule that was recalled, and whether it helped
