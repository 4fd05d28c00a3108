#!/usr/bin/env bash
# pyAgrum 3.3.1: evidence given as True means the second state, which in most networks is "no" or "false".
#
# Expected: evidence {"Wet": True} for a variable with the states yes and no is refused, as the text "True" is, or means yes; and where
#           the states are named true and false it means true.
# Seen:     a number is the place of a state, and True is the number 1 in Python: the second state is observed. With the order that published
#           networks have (yes/no, true/false, present/absent) every answer is that of the opposite observation, without a word;
#           states named "1", "2", "3" are off by one in the same way ({"Level": 1} is level 2, level 3 cannot be said).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps pyagrum==3.3.1 numpy==2.4.6 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from pathlib import Path

import pyagrum as gum

NET = """network example {}
variable Rain { type discrete [ 2 ] { yes, no }; }
variable Wet { type discrete [ 2 ] { yes, no }; }
variable Alarm { type discrete [ 2 ] { true, false }; }
variable Level { type discrete [ 3 ] { 1, 2, 3 }; }
probability ( Rain ) { table 0.2, 0.8; }
probability ( Wet | Rain ) { (yes) 0.9, 0.1; (no) 0.1, 0.9; }
probability ( Alarm | Rain ) { (yes) 0.9, 0.1; (no) 0.1, 0.9; }
probability ( Level | Rain ) { (yes) 0.8, 0.1, 0.1; (no) 0.1, 0.1, 0.8; }
"""
path = Path(sys.argv[1]) / "example.bif"
path.write_text(NET)
net = gum.loadBN(str(path))
print("pyAgrum", gum.__version__)


def rain(evidence):
    """P(Rain = yes | evidence), or why there is none."""
    try:
        return round(gum.getPosterior(net, target="Rain", evs=evidence).tolist()[0], 3)
    except gum.GumException as problem:
        return type(problem).__name__


asked = [("Wet", one) for one in ("yes", "no", True, False, "True")]
asked += [("Alarm", one) for one in ("true", "false", True)] + [("Level", one) for one in ("1", "2", 1)]
seen = {}
for name, value in asked:
    seen[name, str(value), type(value)] = found = rain({name: value})
    print(f"evidence {name} = {value!r:7}: P(Rain = yes) is {found}")
print("expected: True is as yes and true, or is refused; 1 is as '1'")
opposite = seen["Wet", "True", bool] == seen["Wet", "no", str] != seen["Wet", "yes", str] == seen["Wet", "False", bool]
also = seen["Alarm", "True", bool] == seen["Alarm", "false", str] != seen["Alarm", "true", str]
shifted = seen["Level", "1", int] == seen["Level", "2", str] != seen["Level", "1", str]
sys.exit(0 if opposite and also and shifted else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
