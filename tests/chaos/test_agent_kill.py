"""kill -9 while a command-line agent works: nothing of it goes on, and the next try begins with a clean copy."""

import asyncio
import json
import os
import signal
import sqlite3
import stat
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hal9.cluster import Home, connect
from tests.conftest import edit_settings
from tests.support.daemons import daemon_process, finished, movement, stop, wait_ready
from tests.support.waiting import eventually_now

# What each prints at its end, in its own format.
SAYS: dict[str, list[dict[str, Any]]] = {
    "codex": [
        {"type": "item.completed", "item": {"type": "agent_message", "text": "I turned the sign."}},
        {"type": "turn.completed", "usage": {"input_tokens": 900, "cached_input_tokens": 0, "output_tokens": 40}},
    ],
    "claude": [
        {"type": "result", "subtype": "success", "is_error": False, "result": "I turned the sign.", "total_cost_usd": 0.01,
         "usage": {"input_tokens": 900, "output_tokens": 40}},
    ],
    "gemini": [
        {"response": "I turned the sign.", "stats": {"models": {"m": {"tokens": {"prompt": 900, "candidates": 40}}}}},
    ],
}  # fmt: skip


def agent(folder: Path, name: str) -> None:
    """A program that spoils a file, leaves a helper in a session of its own, and hangs where it is told to."""
    folder.mkdir()
    program = textwrap.dedent(
        f"""\
        #!{sys.executable} -I
        import os, pathlib, subprocess, sys, time
        if sys.argv[1:] == ["--version"]:
            print("1.0.0"); sys.exit()
        prompt = sys.stdin.read()
        here = pathlib.Path(".")
        left = (here / "half-done.txt").exists()
        (here / "half-done.txt").write_text("")
        if "HANG" in os.environ:
            subprocess.Popen(["sh", "-c", "sleep 600; : helper-of-{folder.parent.name}"], start_new_session=True)
            (here / "begun").write_text("")
            time.sleep(600)
        (here / "half-done.txt").unlink()
        (here / "adder.py").write_text("def add(a, b):\\n    return a + b\\n")
        (here / "found.txt").write_text(f"{{left}}\\n")
        print({chr(10).join(json.dumps(event) for event in SAYS[name])!r})
        """
    )
    path = folder / name
    path.write_text(program)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def submitted(home: Home, workspace: Path) -> str:
    async with connect(home.root) as cluster:
        return await cluster.submit("add gives a wrong result", workspace=workspace, check="python check.py")


def in_copy(home: Home, name: str) -> list[Path]:
    return [path for path in home.snapshots.rglob(name) if path.is_file()]


@pytest.mark.parametrize(
    ("name", "isolation"),
    [
        pytest.param("codex", "auto", marks=pytest.mark.slow),
        ("codex", "none"),
        pytest.param("claude", "none", marks=pytest.mark.slow),
        pytest.param("gemini", "none", marks=pytest.mark.slow),
        pytest.param("claude", "auto", marks=pytest.mark.slow),
        pytest.param("gemini", "auto", marks=pytest.mark.slow),
    ],
)
def test_an_agent_that_is_killed_with_the_daemon_leaves_nothing_behind(
    tmp_path: Path, home: Home, workspace: Path, name: str, isolation: str
) -> None:
    agent(tmp_path / "bin", name)
    edit_settings(home, "isolation: auto ", f"isolation: {isolation} ")
    (workspace / "adder.py").write_text("def add(a, b):\n    return a - b\n")
    edit_settings(home, "agent_variables: [] ", "agent_variables: [HANG] ")
    environ = {"HAL9_MODEL": f"agent:{name}", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    task_id = asyncio.run(submitted(home, workspace))
    with daemon_process(home, HANG="yes", **environ) as first:
        eventually_now(lambda: in_copy(home, "begun"), "the agent works", progress=lambda: movement(home))
        assert living(f"helper-of-{tmp_path.name}")
        first.send_signal(signal.SIGKILL)
        first.wait()
    # Its helper had a session of its own, and is gone too.
    eventually_now(lambda: not living(f"helper-of-{tmp_path.name}"), "nothing of the agent is left")
    assert not living(str(tmp_path / "bin"))
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        assert journal.execute("SELECT state FROM tasks").fetchone() != ("done",)
    assert "a - b" in (workspace / "adder.py").read_text()
    assert not (workspace / "begun").exists()
    with daemon_process(home, **environ) as second:
        wait_ready(home, second)
        assert finished(home, task_id) == "done", (home.root / "daemon.log").read_text()[-2000:]
        stop(second)
    assert "a + b" in (workspace / "adder.py").read_text()
    assert (workspace / "found.txt").read_text() == "False\n"  # the copy was as at the beginning
    assert not (workspace / "half-done.txt").exists()
    assert not list(home.snapshots.iterdir())
    with closing(sqlite3.connect(home.state / "journal.db")) as journal:
        steps = [json.loads(row[0]) for row in journal.execute("SELECT body FROM steps ORDER BY seq")]
        assert journal.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)
    assert [step["kind"] for step in steps if step["layer"] == 2].count("think") == 1


def living(token: str) -> list[str]:
    """Processes that have the token in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if token.encode() in words:
            found.append(path.parent.name)
    return found
