"""Hook calls over the daemon's socket: answered, shared, failing open."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hal9.hooks.client import SOCKET, ask_daemon
from hal9.hooks.server import serve_hooks
from hal9.learning.guards.advisor import ActionAdvisor
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.memory import MemoryStore

GUARD = "when: {program: git, subcommand: push, flag: '--force*'}\neffect: require\nsay: Never force a push."
PUSH = {"tool_name": "Bash", "tool_input": {"command": "git push --force"}, "cwd": "/w", "session_id": "s"}


def guarded(store: MemoryStore) -> ActionAdvisor:
    book = GuardStore(store)
    book.accept(book.add(parse_guard(GUARD), workspace="*", source="user", cause="t"), [], cause="t")
    return ActionAdvisor(store)


async def ask(
    folder: Path, body: bytes, *, agent: str = "claude-code", event: str = "PreToolUse"
) -> str | None:
    return await asyncio.to_thread(ask_daemon, str(folder), agent, event, body)


@pytest.mark.parametrize("depth", [0, 4])
async def test_a_call_is_answered_over_the_socket_however_deep_the_home_lies(
    tmp_path: Path, depth: int
) -> None:
    folder = tmp_path.joinpath(*["a" * 40] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    with MemoryStore(folder / "elsewhere.db") as store:
        async with serve_hooks(folder, store, guarded(store)):
            assert (folder / SOCKET).stat().st_mode & 0o777 == 0o600
            answers = await asyncio.gather(*(ask(folder, json.dumps(PUSH).encode()) for _ in range(8)))
            assert {json.loads(one or "")["hookSpecificOutput"]["permissionDecision"] for one in answers} == {
                "deny"
            }
        assert GuardStore(store).all()[0].fired == 8
    assert not (folder / SOCKET).exists()
    assert await ask(folder, b"{}") is None


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[1]", b"\x00\xff", b'{"tool_name": 7}', b"{" * 3_000_000]
)
async def test_odd_input_lets_the_agent_go_on(tmp_path: Path, body: bytes) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        async with serve_hooks(tmp_path, store, guarded(store)):
            assert json.loads(await ask(tmp_path, body) or "") == {}
            assert json.loads(await ask(tmp_path, b"{}", agent="nobody") or "") == {}
            assert json.loads(await ask(tmp_path, json.dumps(PUSH).encode()) or "") != {}


async def test_what_a_dead_daemon_left_is_no_obstacle(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(tmp_path / SOCKET))
    left.close()
    assert await ask(tmp_path, b"{}") is None
    with MemoryStore(tmp_path / "memory.db") as store:
        async with serve_hooks(tmp_path, store, guarded(store)):
            assert await ask(tmp_path, b"{}") == "{}"


def call(home: Path, body: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    program = (
        "import sys; from hal9.__main__ import main; main(); "
        "print([m for m in ('json', 're', 'typing', 'socket', 'sqlite3', 'click') if m in sys.modules])"
    )
    words = ["--home", str(home), "hook", "PreToolUse", "--agent", "claude-code"]
    return subprocess.run(
        [sys.executable, *options, "-c", program, *words], input=body, capture_output=True, check=True
    )


async def test_a_call_that_finds_the_daemon_loads_nothing(tmp_path: Path) -> None:
    folder = tmp_path / ".hal9"
    folder.mkdir()
    with MemoryStore(folder / "memory.db") as store:
        async with serve_hooks(folder, store, guarded(store)):
            done = await asyncio.to_thread(call, tmp_path, json.dumps(PUSH).encode(), "-S")
    answer, loaded = done.stdout.decode().strip().splitlines()
    assert json.loads(answer)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert loaded == "[]"


def test_a_daemon_that_hangs_is_not_asked_twice_and_the_agent_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".hal9"
    folder.mkdir()
    with MemoryStore(folder / "memory.db") as store:
        guarded(store)
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    silent.bind(str(folder / SOCKET))
    silent.listen()
    monkeypatch.setattr("hal9.hooks.client._ANSWER_SECONDS", 0.05)
    with silent, pytest.raises(OSError, match="timed out"):
        ask_daemon(str(folder), "claude-code", "PreToolUse", b"{}")


def test_a_memory_in_a_database_without_a_daemon_is_a_sentence_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / ".hal9").mkdir()
    text = "state:\n  url: postgresql://hal9@db.example.org/hal9   # shared\n"
    (tmp_path / "config" / "hal9.yaml").write_text(text)
    with MemoryStore(tmp_path / ".hal9" / "memory.db") as store:  # left from before: not what holds now
        guarded(store)
    assert call(tmp_path, json.dumps(PUSH).encode()).stdout.decode().splitlines()[0] == "{}"
    assert "only a running daemon" in (tmp_path / ".hal9" / "hooks.log").read_text()


@pytest.mark.parametrize(
    ("word", "decision"), [("off", None), ("require-once", "deny"), ("remind", "remind")]
)
def test_the_setting_of_guards_holds_without_a_daemon(
    tmp_path: Path, word: str, decision: str | None
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / ".hal9").mkdir()
    (tmp_path / "config" / "hal9.yaml").write_text(
        f"memory:\n  guards: {word}   # require-once, remind, off\n"
    )
    with MemoryStore(tmp_path / ".hal9" / "memory.db") as store:
        teach_failures(store)
    body = {"tool_name": "Bash", "tool_input": {"command": "pytest -q"}, "cwd": "/w", "session_id": "s"}
    answer = json.loads(call(tmp_path, json.dumps(body).encode()).stdout.decode().splitlines()[0])
    told = answer.get("hookSpecificOutput", {})
    seen = told.get("permissionDecision") or ("remind" if told.get("additionalContext") else None)
    assert seen == decision


def teach_failures(store: MemoryStore) -> None:
    """Three runs in which pytest is not there."""
    from hal9.learning.guards.advisor import RunWatch
    from hal9.learning.runs.run_state import LiveView, RunState
    from hal9.tools.action import command_action

    advisor, action = ActionAdvisor(store), command_action("pytest -q")
    for _ in range(3):
        watch = RunWatch.begin("/w", RunState(root="/w", view=LiveView(root="/w")))
        advised = advisor.before(action, watch)
        advisor.after(action, watch, advised, exit_code=127, output="bash: pytest: command not found")
