"""A client command is quick because it loads nothing of the daemon."""

import json
import subprocess
import sys

import pytest

from hal9.cluster import Home

RUN = """
import sys
from hal9.cli.app import cli, run
sys.exit(2) if run(cli, sys.argv[1:]) not in (0, 1) else None
import json
print("\\n" + json.dumps(sorted(sys.modules)))
"""
# What the daemon needs and a client must not pay for.
DAEMON_ONLY = ("numpy", "aiomqtt", "scipy", "sqlite_utils", "hal9.memory", "hal9.minds.open", "hal9.learning")
LOADED_WHEN_NEEDED = ("hal9.tools", "hal9.promptgram")


@pytest.mark.parametrize("command", [["status"], ["tasks"], ["submit", "say something"]])
def test_a_client_command_loads_nothing_of_the_daemon(home: Home, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "--home", str(home.root), *command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in loaded if name.startswith((*DAEMON_ONLY, *LOADED_WHEN_NEEDED))]
    # Half of what it was when a client loaded the daemon too.
    assert len([name for name in loaded if name.startswith("hal9")]) <= 86
