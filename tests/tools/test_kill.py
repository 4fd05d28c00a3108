"""kill -9 at every transition of a turn: it goes on where it was, no command runs twice unnoticed."""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from hal9.journal.failpoints import ENVIRONMENT_VARIABLE, TURN_FAILPOINTS
from tests.tools.kill_child import COMMANDS


async def start(folder: Path, failpoint: str = "", tool: str = "bash") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.tools.kill_child",
        str(folder),
        tool,
        env={**os.environ, ENVIRONMENT_VARIABLE: failpoint},
        start_new_session=True,
    )


def replies(folder: Path) -> int:
    """Replies in the journal so far."""
    path = folder / "journal.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return int(
                connection.execute("SELECT count(*) FROM turn_entries WHERE kind = 'reply'").fetchone()[0]
            )
        except sqlite3.OperationalError:
            return 0


def examine(folder: Path, kills: int) -> int:
    """Everything was done exactly once, in order; how many calls were reported as interrupted."""
    lines = (folder / "ws" / "log.txt").read_text().split()
    assert lines == [str(number) for number in range(COMMANDS)]
    assert (folder / "ws" / "last.txt").read_text() == f"{COMMANDS - 1}\n"
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        rows = connection.execute("SELECT kind, body FROM turn_entries ORDER BY position").fetchall()
        assert connection.execute("SELECT count(*) FROM calls_under_way").fetchone()[0] == 0
        steps = [json.loads(row[0]) for row in connection.execute("SELECT body FROM steps ORDER BY seq")]
    entries = [(kind, json.loads(body)) for kind, body in rows]
    asked = Counter((folder / "asked.txt").read_text().split())
    # A reply that was recorded is never asked for again; one that was not may be, once for each kill.
    assert sum(asked.values()) <= sum(1 for kind, _ in entries if kind == "reply") + kills
    results = [body for kind, body in entries if kind == "result"]
    interrupted = sum(1 for body in results if body["observation"]["summary"] == "interrupted")
    labels = [body["label"] for body in results]
    assert len(labels) == len(set(labels))
    # Each reply and result has its step, each step is there once.
    kinds = [kind for kind, _ in entries if kind != "note"]
    assert Counter(step["kind"] for step in steps) == Counter(
        "think" if kind == "reply" else "tool" for kind in kinds
    )
    return interrupted


@pytest.mark.parametrize("failpoint", TURN_FAILPOINTS)
async def test_a_turn_killed_at_a_transition_goes_on_there(tmp_path: Path, failpoint: str) -> None:
    process = await start(tmp_path, f"{failpoint}:4")
    assert await process.wait() == -signal.SIGKILL
    before = replies(tmp_path)
    process = await start(tmp_path)
    assert await process.wait() == 0
    interrupted = examine(tmp_path, kills=1)
    # That the call begins is recorded with the reply that asks for it.
    lost = failpoint in {"turn-reply-recorded", "turn-call-begun", "turn-call-ran"}
    assert interrupted == (1 if lost else 0)
    assert replies(tmp_path) == COMMANDS + 1 + interrupted
    assert before >= 3


@pytest.mark.parametrize("failpoint", TURN_FAILPOINTS)
async def test_a_file_that_was_being_written_is_written(tmp_path: Path, failpoint: str) -> None:
    process = await start(tmp_path, f"{failpoint}:4", "write")
    assert await process.wait() == -signal.SIGKILL
    process = await start(tmp_path, tool="write")
    assert await process.wait() == 0
    # The model is told of no interruption and asks for nothing twice.
    assert (tmp_path / "end.txt").read_text() == "0 interrupted"
    assert replies(tmp_path) == COMMANDS + 1
    found = {path.name: path.read_text() for path in (tmp_path / "ws").glob("*.txt")}
    assert found == {f"{number}.txt": f"{number}\n" for number in range(COMMANDS)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
async def test_a_turn_killed_at_random_moments_goes_on(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    kills = 0
    while True:
        process = await start(tmp_path)
        have = replies(tmp_path)
        target = have + chance.randint(1, 4)
        # Progress is waited for, then a random moment within the next step.
        while process.returncode is None and replies(tmp_path) < min(target, COMMANDS + 1):
            await asyncio.sleep(0.005)
        if kills < 4 and process.returncode is None:
            await asyncio.sleep(chance.random() * 0.12)
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        if await process.wait() == 0:
            break
    examine(tmp_path, kills)
