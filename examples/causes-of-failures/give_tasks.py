"""Thirty tasks through the Python client: those of one kind cannot succeed."""

import sys
from pathlib import Path

import hal9

with hal9.connect_blocking(sys.argv[1]) as cluster:
    given = []
    for number in range(30):
        workspace = Path(f"project-{number}")
        workspace.mkdir()
        broken = number % 2 == 0
        check = "test -f nothing.txt" if broken else "test -f adder.py"
        given.append(cluster.submit("Write add(a, b) in adder.py", workspace=workspace, check=check))
    states = [cluster.wait(one, timeout_seconds=600).state for one in given]
print(f"{states.count('done')} done, {states.count('failed')} failed")
